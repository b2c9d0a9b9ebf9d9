"""What a person decides about records that wait or were refused, on a real database."""

from service.core.words import Reason, RejectedState, Wait
from service.operations import parked
from service.operations.parked_records import ParkedFilter
from tests.support.deciding import (
    ALL_PARKED,
    WHY,
    actions,
    balances,
    done,
    held_for_its_excess,
    not_done,
    parked_now,
    rejected_by_the_database,
    rejected_now,
)
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, outbox_of, payment, tables_of


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
    states = {entry.reason: entry.state for entry in await rejected_now(path)}
    assert states == {
        Reason.DISCARDED: RejectedState.DISCARDED,
        Reason.ORIGINAL_REJECTED: RejectedState.OPEN,
    }


async def test_what_waits_as_before_changes_nothing_and_leaves_no_action(path: WritePath) -> None:
    await path.take(payment(), change(fine_id="F-9"))
    before = await tables_of(path.pool)
    for item in await parked_now(path):
        assert (
            not_done(await parked.release(path.applier, item, WHY)) == "still waits: unknown_fine"
        )
    assert await tables_of(path.pool) == before


async def test_a_change_that_waits_is_discarded_under_its_identity(path: WritePath) -> None:
    await path.take(change())
    (item,) = await parked_now(path, ParkedFilter(id="C-1", source="ALMA", record="change"))
    assert done(await parked.discard(path.applier, item, WHY)) == "discarded"
    await path.take(fine(), change())
    assert await balances(path) == (95_50, 0)


async def test_of_two_people_the_second_is_told_that_nothing_is_left(path: WritePath) -> None:
    item = await held_for_its_excess(path)
    done(await parked.release(path.applier, item, WHY))
    assert not_done(await parked.discard(path.applier, item, WHY)) == "is not parked any more"
    assert len(await actions(path)) == 1


async def test_a_record_with_an_internal_error_is_applied_once_its_cause_is_mended(
    path: WritePath,
) -> None:
    item = await rejected_by_the_database(path, fine(loan_id="L-odd"))
    assert (item.record, item.id, item.source) == ("fine", "F-1", None)
    outcome = not_done(await parked.release(path.applier, item, WHY))
    assert outcome == "fails: CheckViolationError: 23514: odd"
    assert len(await parked_now(path)) == 1
    await path.pool.execute("ALTER TABLE fine DROP CONSTRAINT odd")
    assert done(await parked.release(path.applier, item, WHY)) == "applied"
    assert await balances(path) == (95_50, 0)
    assert await parked_now(path) == []
    assert not_done(await parked.release(path.applier, item, WHY)) == "is not parked any more"


async def test_a_record_with_an_internal_error_can_be_discarded(path: WritePath) -> None:
    item = await rejected_by_the_database(path, fine(loan_id="L-odd"))
    assert done(await parked.discard(path.applier, item, WHY)) == "discarded"
    (row,) = await rejected_now(path)
    assert (row.reason, row.state, row.place) == (Reason.DISCARDED, "discarded", item.place)
    assert await parked_now(path) == []
    assert [action[0] for action in await actions(path)] == ["parked_discard"]


async def test_parked_records_are_found_by_identity_place_wait_and_age(path: WritePath) -> None:
    await rejected_by_the_database(path, fine(fine_id="F-2", loan_id="L-odd"))
    await path.take(payment(), payment(payment_id="PAY-2", source="ERP"), change(fine_id="F-9"))
    await path.pool.execute(
        "UPDATE parked SET recorded_at = now() - interval '2 days' WHERE id = 'C-1'"
    )

    async def ids(selected: ParkedFilter = ALL_PARKED) -> list[str | None]:
        return [item.id for item in await parked_now(path, selected)]

    assert await ids() == ["PAY-1", "PAY-2", "C-1", "F-2"]
    assert await ids(ParkedFilter(limit=2)) == ["PAY-1", "PAY-2"]
    assert await ids(ParkedFilter(institution_id="1")) == []
    assert await ids(ParkedFilter(source="ERP")) == ["PAY-2"]
    assert await ids(ParkedFilter(wait=Wait.INTERNAL_ERROR)) == ["F-2"]
    assert await ids(ParkedFilter(wait=Wait.UNKNOWN_FINE, id="PAY-1")) == ["PAY-1"]
    assert await ids(ParkedFilter(older_than_seconds=86_400)) == ["C-1"]
    assert await ids(ParkedFilter(topic="library.bursar-payment.v1", partition=0, offset=1)) == [
        "PAY-2"
    ]
    assert await ids(ParkedFilter(topic="library.fine-created.v1", partition=0, offset=0)) == [
        "F-2"
    ]
