"""What a person decides about records that wait or were refused, on a real database."""

import asyncio
from dataclasses import replace
from typing import Any

from service.apply.operator_actions import DecisionResult, Justification, Place
from service.core.words import Reason, RejectedState, Wait
from service.operations import parked, rejected
from service.operations.parked import ParkedFilter, ParkedRecord
from service.operations.rejected import RejectedFilter, RejectedRecord
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    Record,
    WritePath,
    change,
    fine,
    outbox_of,
    payment,
    profiles_of,
    record,
    tables_of,
)

PROFILE = """
[[institution]]
id = "6050"
zone = "Europe/Berlin"

[[profile]]
code = "SIS"
name = "Student information system"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE"]
match = "02"
overpayment = "hold"
"""
WHY = Justification("ann", "the bursar confirmed it")


async def parked_now(path: WritePath, **wanted: Any) -> list[ParkedRecord]:
    async with path.pool.acquire() as connection:
        return await parked.find(connection, replace(ParkedFilter(), **wanted))


async def rejected_now(path: WritePath, **wanted: Any) -> list[RejectedRecord]:
    async with path.pool.acquire() as connection:
        return await rejected.find(connection, replace(RejectedFilter(), **wanted))


async def exported(path: WritePath) -> None:
    await path.take(fine())
    profiles = profiles_of(PROFILE)
    await path.exports(profiles).run_profile(profiles.profiles[0])


async def held_for_its_excess(path: WritePath) -> ParkedRecord:
    await exported(path)
    await path.take(payment(amount="100.00"))
    (item,) = await parked_now(path)
    assert item.wait is Wait.OVERPAID_HELD
    return item


async def refused_by_the_database(path: WritePath, one: Record) -> ParkedRecord:
    """A constraint that was not thought of, and is mended afterwards."""
    await path.pool.execute("ALTER TABLE fine ADD CONSTRAINT odd CHECK (loan_id <> 'L-odd')")
    await path.take(one)
    (item,) = await parked_now(path, wait=Wait.INTERNAL_ERROR)
    return item


async def actions(path: WritePath) -> list[tuple[object, ...]]:
    rows = await path.rows(
        "SELECT action, institution_id, reason, operator, outcome FROM operator_action ORDER BY 1"
    )
    return [tuple(row.values()) for row in rows]


async def balances(path: WritePath) -> tuple[object, ...]:
    (row,) = await path.rows("SELECT active, transferred FROM account")
    return tuple(row.values())


def done(told: DecisionResult) -> str:
    assert told.done, told.outcome
    return told.outcome


def undone(told: DecisionResult) -> str:
    assert not told.done
    return told.outcome


async def test_a_released_overpayment_is_paid_and_credited_and_the_decision_is_kept(
    path: WritePath,
) -> None:
    item = await held_for_its_excess(path)
    outcome = done(await parked.release(path.applier, item, WHY))
    assert outcome.startswith("applied, excess as credit bb-")
    assert await balances(path) == (-4_50, 0)
    assert await parked_now(path) == []
    assert await actions(path) == [
        ("parked_release", "6050", "the bursar confirmed it", "ann", outcome)
    ]


async def test_a_discarded_overpayment_is_rejected_with_its_bytes_and_needs_nobody_any_more(
    path: WritePath,
) -> None:
    item = await held_for_its_excess(path)
    assert done(await parked.discard(path.applier, item, WHY)) == "discarded"
    assert await balances(path) == (0, 95_50)
    (row,) = await path.rows("SELECT reason, state, record_value FROM rejected")
    assert tuple(row.values()) == ("discarded", "discarded", item.origin.value)
    (sent,) = await outbox_of(path.pool, "rejected.v1")
    assert (sent.value, sent.header("bursar-reason")) == (item.origin.value, "discarded")


async def test_a_reversal_behind_a_discarded_payment_stays_open_for_a_person(
    path: WritePath,
) -> None:
    item = await held_for_its_excess(path)
    await path.take(
        payment(
            payment_id="REV-1",
            kind="reversal",
            reverses_payment_id="PAY-1",
            fine_id=ABSENT,
            amount=ABSENT,
            currency=ABSENT,
        )
    )
    done(await parked.discard(path.applier, item, WHY))
    states = {one.reason: one.state for one in await rejected_now(path)}
    assert states == {
        Reason.DISCARDED: RejectedState.DISCARDED,
        Reason.ORIGINAL_REJECTED: RejectedState.OPEN,
    }


async def test_what_waits_as_before_changes_nothing_and_leaves_no_action(path: WritePath) -> None:
    await path.take(payment(), change(fine_id="F-9"))
    before = await tables_of(path.pool)
    for item in await parked_now(path):
        assert undone(await parked.release(path.applier, item, WHY)) == "still waits: unknown_fine"
    assert await tables_of(path.pool) == before


async def test_a_change_that_waits_is_discarded_under_its_identity(path: WritePath) -> None:
    await path.take(change())
    (item,) = await parked_now(path, id="C-1", source="ALMA", record="change")
    assert done(await parked.discard(path.applier, item, WHY)) == "discarded"
    await path.take(fine(), change())
    assert await balances(path) == (95_50, 0)


async def test_of_two_people_the_second_is_told_that_nothing_is_left(path: WritePath) -> None:
    item = await held_for_its_excess(path)
    done(await parked.release(path.applier, item, WHY))
    assert undone(await parked.discard(path.applier, item, WHY)) == "is not parked any more"
    assert len(await actions(path)) == 1


async def test_a_record_with_an_internal_error_is_applied_once_its_cause_is_mended(
    path: WritePath,
) -> None:
    item = await refused_by_the_database(path, fine(loan_id="L-odd"))
    assert (item.record, item.id, item.source) == ("fine", "F-1", None)
    refusal = undone(await parked.release(path.applier, item, WHY))
    assert refusal == "fails: CheckViolationError: 23514: odd"
    assert len(await parked_now(path)) == 1
    await path.pool.execute("ALTER TABLE fine DROP CONSTRAINT odd")
    assert done(await parked.release(path.applier, item, WHY)) == "applied"
    assert await balances(path) == (95_50, 0)
    assert await parked_now(path) == []
    assert undone(await parked.release(path.applier, item, WHY)) == "is not parked any more"


async def test_a_record_with_an_internal_error_can_be_discarded(path: WritePath) -> None:
    item = await refused_by_the_database(path, fine(loan_id="L-odd"))
    assert done(await parked.discard(path.applier, item, WHY)) == "discarded"
    (row,) = await rejected_now(path)
    assert (row.reason, row.state, row.place) == (Reason.DISCARDED, "discarded", item.place)
    assert await parked_now(path) == []
    assert [one[0] for one in await actions(path)] == ["parked_discard"]


async def test_parked_records_are_found_by_identity_place_wait_and_age(path: WritePath) -> None:
    await refused_by_the_database(path, fine(fine_id="F-2", loan_id="L-odd"))
    await path.take(payment(), payment(payment_id="PAY-2", source="ERP"), change(fine_id="F-9"))
    await path.pool.execute(
        "UPDATE parked SET recorded_at = now() - interval '2 days' WHERE id = 'C-1'"
    )

    async def ids(**wanted: Any) -> list[str | None]:
        return [one.id for one in await parked_now(path, **wanted)]

    assert await ids() == ["PAY-1", "PAY-2", "C-1", "F-2"]
    assert await ids(limit=2) == ["PAY-1", "PAY-2"]
    assert await ids(institution_id="1") == []
    assert await ids(source="ERP") == ["PAY-2"]
    assert await ids(wait=Wait.INTERNAL_ERROR) == ["F-2"]
    assert await ids(wait=Wait.UNKNOWN_FINE, id="PAY-1") == ["PAY-1"]
    assert await ids(older_than_seconds=86_400) == ["C-1"]
    assert await ids(place=Place("library.bursar-payment.v1", 0, 1)) == ["PAY-2"]
    assert await ids(place=Place("library.fine-created.v1", 0, 0)) == ["F-2"]


async def one_rejected(path: WritePath, *records: Record) -> RejectedRecord:
    await path.take(*records)
    (item,) = await rejected_now(path)
    return item


async def test_a_replayed_record_is_decided_afresh(path: WritePath) -> None:
    item = await one_rejected(
        path, payment(bursar_transaction_id="1000000000000001", fine_id=ABSENT)
    )
    assert item.reason is Reason.UNKNOWN_LINE
    assert undone(await rejected.replay(path.applier, item, WHY)) == (
        "is rejected again: unknown_line"
    )
    await exported(path)
    assert done(await rejected.replay(path.applier, item, WHY)) == "applied"
    assert await balances(path) == (0, 0)
    (now,) = await rejected_now(path)
    assert now.state is RejectedState.REPLAYED
    assert undone(await rejected.replay(path.applier, now, WHY)) == "is replayed already"
    assert undone(await rejected.replay(path.applier, item, WHY)) == "is replayed already"
    assert [one[0] for one in await actions(path)] == ["rejected_replay"]


async def test_a_replay_that_is_rejected_again_changes_nothing(path: WritePath) -> None:
    item = await one_rejected(path, fine(), fine(amount="1.00", fine_id="F-1"))
    before = await tables_of(path.pool)
    sent = len(await outbox_of(path.pool, "rejected.v1"))
    told = await rejected.replay(path.applier, item, WHY)
    assert undone(told) == "is rejected again: fine_conflict"
    assert await tables_of(path.pool) == before
    assert len(await outbox_of(path.pool, "rejected.v1")) == sent


async def test_what_was_replayed_and_is_refused_for_the_same_reason_is_there_again(
    path: WritePath,
) -> None:
    await held_for_its_excess(path)
    for _ in range(2):
        (item,) = await parked_now(path)
        done(await parked.discard(path.applier, item, WHY))
        (given_up,) = await rejected_now(path)
        assert given_up.state is RejectedState.DISCARDED
        done(await rejected.replay(path.applier, given_up, WHY))
        assert [one.state for one in await rejected_now(path)] == ["replayed"]


async def test_what_cannot_be_read_says_so(path: WritePath) -> None:
    item = await one_rejected(path, record("bursar-payment.v1", b"{not json"))
    assert undone(await rejected.replay(path.applier, item, WHY)) == (
        "would be rejected again: invalid_json, record: must be one JSON value in UTF-8"
    )


async def test_a_value_that_was_cut_says_so(path: WritePath) -> None:
    item = await one_rejected(path, payment(comment="x" * 70_000))
    assert item.reason is Reason.INVALID_SIZE
    await path.pool.execute("UPDATE rejected SET record_value = substring(record_value, 1, 1000)")
    assert undone(await rejected.replay(path.applier, item, WHY)) == (
        "its stored value was cut: it cannot be replayed"
    )


async def test_a_line_of_a_file_that_matched_nothing_is_not_replayed_as_a_payment(
    path: WritePath,
) -> None:
    await exported(path)
    value, headers = payment().value, b"[]"
    await path.pool.execute(
        "INSERT INTO rejected VALUES"
        " ('import', 7, 1, '6050', 'no_matching_payment', 'd', NULL, $1, $2, 'open', now())",
        value,
        headers,
    )
    (item,) = await rejected_now(path)
    assert "import the file again" in undone(await rejected.replay(path.applier, item, WHY))
    assert await balances(path) == (0, 95_50)


async def test_a_discarded_record_can_be_taken_up_again(path: WritePath) -> None:
    await held_for_its_excess(path)
    (item,) = await parked_now(path)
    done(await parked.discard(path.applier, item, WHY))
    (given_up,) = await rejected_now(path, state=RejectedState.DISCARDED)
    assert undone(await rejected.discard(path.applier, given_up, WHY)) == (
        "is not open: it is discarded"
    )
    assert done(await rejected.replay(path.applier, given_up, WHY)) == "parked: overpaid_held"


async def test_a_discard_is_kept_with_its_reason(path: WritePath) -> None:
    item = await one_rejected(path, record("fine-changed.v1", b"[]"))
    assert done(await rejected.discard(path.applier, item, WHY)) == "discarded"
    assert await rejected_now(path, state=RejectedState.OPEN) == []
    assert await actions(path) == [
        ("rejected_discard", None, "the bursar confirmed it", "ann", "discarded")
    ]


async def test_rejected_records_are_found_by_every_filter(path: WritePath) -> None:
    await path.take(
        fine(amount="0.00"),
        payment(payment_id="PÄY/1", amount="1,00"),
        payment(institution_id="77", fine_id=ABSENT, bursar_transaction_id="12"),
    )

    async def reasons(**wanted: Any) -> list[str]:
        return [one.reason.value for one in await rejected_now(path, **wanted)]

    assert sorted(await reasons()) == ["invalid_amount", "invalid_amount", "unknown_line"]
    assert await reasons(institution_id="77") == ["unknown_line"]
    assert await reasons(reason=Reason.UNKNOWN_LINE) == ["unknown_line"]
    assert len(await reasons(topic="bursar-payment.v1")) == 2
    assert len(await reasons(topic="library.fine-created.v1")) == 1
    assert await reasons(topic="payment.v1") == []
    assert await reasons(topic="bursar-payment.v1", partition=0, offset=1) == ["unknown_line"]
    assert len(await reasons(institution_id="6050", source="SAP", id="PÄY/1")) == 1
    assert len(await reasons(institution_id="6050", id="F-1", state=RejectedState.OPEN)) == 1
    assert await reasons(institution_id="6050", source="ERP", id="PÄY/1") == []
    assert len(await reasons(limit=1)) == 1


async def test_replays_of_one_record_at_the_same_instant_apply_it_once(path: WritePath) -> None:
    item = await one_rejected(
        path, payment(bursar_transaction_id="1000000000000001", fine_id=ABSENT)
    )
    await exported(path)
    told = await asyncio.gather(*(rejected.replay(path.applier, item, WHY) for _ in range(4)))
    assert sorted(one.done for one in told) == [False, False, False, True]
    assert await balances(path) == (0, 0)
    assert len(await actions(path)) == 1
