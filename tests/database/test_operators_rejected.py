"""What a person decides about records that were rejected, on a real database."""

import asyncio

from service.core.words import Reason, RejectedState
from service.operations import parked, rejected
from service.operations.rejected import RejectedFilter
from tests.support.deciding import (
    ALL_REJECTED,
    WHY,
    actions,
    balances,
    done,
    exported,
    held_for_its_excess,
    not_done,
    parked_now,
    rejected_now,
    single_rejected,
)
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, fine, outbox_of, payment, record, tables_of


async def test_a_replayed_record_is_decided_afresh(path: WritePath) -> None:
    item = await single_rejected(path, payment(bursar_transaction_id="10000000018", fine_id=ABSENT))
    assert item.reason is Reason.UNKNOWN_LINE
    assert not_done(await rejected.replay(path.applier, item, WHY)) == (
        "is rejected again: unknown_line"
    )
    await exported(path)
    assert done(await rejected.replay(path.applier, item, WHY)) == "applied"
    assert await balances(path) == (0, 0)
    (now,) = await rejected_now(path)
    assert now.state is RejectedState.REPLAYED
    assert not_done(await rejected.replay(path.applier, now, WHY)) == "is replayed already"
    assert not_done(await rejected.replay(path.applier, item, WHY)) == "is replayed already"
    assert [action[0] for action in await actions(path)] == ["rejected_replay"]


async def test_a_replay_that_is_rejected_again_changes_nothing(path: WritePath) -> None:
    item = await single_rejected(path, fine(), fine(amount="1.00", fine_id="F-1"))
    before = await tables_of(path.pool)
    sent = len(await outbox_of(path.pool, "rejected.v1"))
    result = await rejected.replay(path.applier, item, WHY)
    assert not_done(result) == "is rejected again: fine_conflict"
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
        assert [entry.state for entry in await rejected_now(path)] == ["replayed"]


async def test_what_cannot_be_read_says_so(path: WritePath) -> None:
    item = await single_rejected(path, record("bursar-payment.v1", b"{not json"))
    assert not_done(await rejected.replay(path.applier, item, WHY)) == (
        "would be rejected again: invalid_json, record: must be one JSON value in UTF-8"
    )


async def test_a_value_that_was_cut_says_so(path: WritePath) -> None:
    item = await single_rejected(path, payment(comment="x" * 70_000))
    assert item.reason is Reason.INVALID_SIZE
    await path.pool.execute("UPDATE rejected SET record_value = substring(record_value, 1, 1000)")
    assert not_done(await rejected.replay(path.applier, item, WHY)) == (
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
    assert "import the file again" in not_done(await rejected.replay(path.applier, item, WHY))
    assert await balances(path) == (0, 95_50)


async def test_a_discarded_record_can_be_taken_up_again(path: WritePath) -> None:
    await held_for_its_excess(path)
    (item,) = await parked_now(path)
    done(await parked.discard(path.applier, item, WHY))
    (given_up,) = await rejected_now(path, RejectedFilter(state=RejectedState.DISCARDED))
    assert not_done(await rejected.discard(path.applier, given_up, WHY)) == (
        "is not open: it is discarded"
    )
    assert done(await rejected.replay(path.applier, given_up, WHY)) == "parked: overpaid_held"


async def test_a_discard_is_kept_with_its_reason(path: WritePath) -> None:
    item = await single_rejected(path, record("fine-changed.v1", b"[]"))
    assert done(await rejected.discard(path.applier, item, WHY)) == "discarded"
    assert await rejected_now(path, RejectedFilter(state=RejectedState.OPEN)) == []
    assert await actions(path) == [
        ("rejected_discard", None, "the bursar confirmed it", "ann", "discarded")
    ]


async def test_rejected_records_are_found_by_every_filter(path: WritePath) -> None:
    await path.take(
        fine(amount="0.00"),
        payment(payment_id="PÄY/1", amount="1,00"),
        payment(institution_id="77", fine_id=ABSENT, bursar_transaction_id="12"),
    )

    async def reasons(selected: RejectedFilter = ALL_REJECTED) -> list[str]:
        return [item.reason.value for item in await rejected_now(path, selected)]

    assert sorted(await reasons()) == ["invalid_amount", "invalid_amount", "unknown_line"]
    assert await reasons(RejectedFilter(institution_id="77")) == ["unknown_line"]
    assert await reasons(RejectedFilter(reason=Reason.UNKNOWN_LINE)) == ["unknown_line"]
    assert len(await reasons(RejectedFilter(topic="bursar-payment.v1"))) == 2
    assert len(await reasons(RejectedFilter(topic="library.fine-created.v1"))) == 1
    assert await reasons(RejectedFilter(topic="payment.v1")) == []
    assert await reasons(RejectedFilter(topic="bursar-payment.v1", partition=0, offset=1)) == [
        "unknown_line"
    ]
    assert len(await reasons(RejectedFilter(institution_id="6050", source="SAP", id="PÄY/1"))) == 1
    created = RejectedFilter(institution_id="6050", id="F-1", state=RejectedState.OPEN)
    assert len(await reasons(created)) == 1
    assert await reasons(RejectedFilter(institution_id="6050", source="ERP", id="PÄY/1")) == []
    assert len(await reasons(RejectedFilter(limit=1))) == 1


async def test_replays_of_one_record_at_the_same_instant_apply_it_once(path: WritePath) -> None:
    item = await single_rejected(path, payment(bursar_transaction_id="10000000018", fine_id=ABSENT))
    await exported(path)
    result = await asyncio.gather(*(rejected.replay(path.applier, item, WHY) for _ in range(4)))
    assert sorted(entry.done for entry in result) == [False, False, False, True]
    assert await balances(path) == (0, 0)
    assert len(await actions(path)) == 1
