"""The sweep on a real database: what two connections missed of each other, page after page."""

from __future__ import annotations

import asyncio

import pytest

from service.core.words import Wait
from service.export.preview import preview
from service.operations.sweep import COMMIT_RECORDS_MAX, Sweep, parked_by_wait
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import (
    WritePath,
    change,
    fine,
    miss_the_fine,
    payment,
    profiles_of,
    response,
    reversal,
    tables_of,
    write_path,
)

PROFILES = institution() + profile(overpayment="hold")


async def put_back(path: WritePath, wait: str) -> None:
    """As a rival's commit at the same instant leaves a record: parked although its wait is over."""
    await path.pool.execute("UPDATE parked SET wait = $1", wait)


async def export(path: WritePath) -> None:
    await path.export(PROFILES)


async def test_a_change_that_missed_its_fine_is_applied(path: WritePath) -> None:
    await path.take(fine())
    await miss_the_fine(path, change())
    assert await path.value("SELECT wait FROM parked") == "unknown_fine"
    assert await Sweep(path.pool, path.applier).run_once() == 1
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.value("SELECT remaining FROM fine") == 8550
    assert await path.value("SELECT active FROM account") == 8550


@pytest.mark.parametrize(
    ("missed", "exported"),
    [
        pytest.param({}, [8550], id="paid_at_the_desk_in_part"),
        pytest.param({"amount": "95.50"}, [], id="paid_at_the_desk"),
        pytest.param({"kind": "disputed", "amount": ABSENT, "currency": ABSENT}, [], id="disputed"),
    ],
)
async def test_a_change_that_missed_its_fine_goes_before_the_fines_export(
    path: WritePath, missed: dict[str, object], exported: list[int]
) -> None:
    """What is parked is tried before anything newer for its fine, swept already or not."""
    await path.take(fine())
    await miss_the_fine(path, change(**missed))
    profile = profiles_of(PROFILES).profiles[0]
    foreseen = [built async for built in preview(path.pool, path.applier.store, profile)]
    await export(path)
    assert [line.amount for built in foreseen for line in built.manifest.lines] == exported
    assert [built.manifest.held_back for built in foreseen] == [()] * len(exported)
    lines = await path.rows("SELECT amount FROM export_line")
    assert [row["amount"] for row in lines] == exported
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.value("SELECT count(*) FROM rejected") == 0
    assert await path.value("SELECT sum(active + transferred) FROM account") == await path.value(
        "SELECT sum(active_change + transferred_change) FROM ledger_transaction"
    )


async def test_a_payment_that_missed_its_fine_goes_before_the_refusal_of_its_line(
    path: WritePath,
) -> None:
    await path.take(fine())
    await export(path)
    await miss_the_fine(path, payment())
    await path.take(response(profile="bursar", outcome="refused", reason="unreadable"))
    assert await path.value("SELECT reason FROM rejected") == "already_paid"
    assert await path.value("SELECT considered FROM fine") == "closed"
    assert await path.value("SELECT count(*) FROM parked") == 0


async def test_what_missed_its_fine_is_applied_in_the_order_of_arrival(path: WritePath) -> None:
    await path.take(fine())
    whole = {"kind": "cancelled", "amount": ABSENT, "currency": ABSENT}
    await miss_the_fine(path, change(change_id="first"), change(change_id="second", **whole))
    await path.sweep()
    kinds = await path.rows("SELECT kind, amount FROM ledger_transaction ORDER BY sequence")
    assert kinds == [
        {"kind": "fine", "amount": 9550},
        {"kind": "desk_payment", "amount": 1000},
        {"kind": "cancellation", "amount": 8550},
    ]


async def test_a_payment_that_missed_its_fines_export_is_applied(path: WritePath) -> None:
    await path.take(fine())
    await export(path)
    await miss_the_fine(path, payment())
    await put_back(path, "not_exported")
    await path.sweep()
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.value("SELECT transferred FROM account") == 0


async def test_a_reversal_that_missed_its_payment_is_applied(path: WritePath) -> None:
    await path.take(fine())
    await export(path)
    await path.take(payment(payment_id="A"))
    await path.pool.execute("CREATE TABLE hidden AS SELECT * FROM payment")
    await path.pool.execute("DELETE FROM payment")
    await path.take(reversal("B", "A"))
    await path.pool.execute("INSERT INTO payment SELECT * FROM hidden")
    assert await path.value("SELECT wait FROM parked") == "unknown_original"
    assert await Sweep(path.pool, path.applier).run_once() == 1
    assert await path.value("SELECT transferred FROM account") == 9550


async def test_what_still_has_to_wait_is_left_alone(path: WritePath) -> None:
    """No fine, no export, no original, a person's decision: none of them is the sweep's."""
    await path.take(fine(fine_id="OUT", amount="1.00"))
    await export(path)
    await path.take(
        payment(payment_id="held", fine_id="OUT", amount="2.00"),
        fine(fine_id="HERE"),
        payment(payment_id="early", fine_id="HERE"),
        payment(payment_id="lost", fine_id="NEVER"),
        reversal("back", "unknown"),
        reversal("behind", "held"),
    )
    before = await tables_of(path.pool)
    assert len(before["parked"]) == 5
    assert await Sweep(path.pool, path.applier).run_once() == 0
    assert await tables_of(path.pool) == before


async def test_a_queue_longer_than_a_commits_records_is_swept_whole(path: WritePath) -> None:
    count = COMMIT_RECORDS_MAX + 100
    await path.take(fine(amount=f"{count}.00"))
    paid = [change(change_id=f"C-{n}", amount="1.00") for n in range(count)]
    await miss_the_fine(path, *paid[:50])
    assert await Sweep(path.pool, path.applier).run_once() == 50
    await miss_the_fine(path, *paid[50:])
    await path.sweep()
    assert await path.value("SELECT count(*) FROM parked") == 0
    assert await path.value("SELECT status FROM fine") == "Closed"


async def test_two_sweeps_at_once_apply_nothing_twice(path: WritePath, database_url: str) -> None:
    await path.take(fine(amount="100.00"))
    await miss_the_fine(path, *(change(change_id=f"C-{n}", amount="1.00") for n in range(60)))
    async with write_path(database_url, partition=1) as other:
        await asyncio.gather(path.sweep(), other.sweep())
    assert await path.value("SELECT remaining FROM fine") == 4000
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 61


async def test_what_waits_is_counted_by_what_it_waits_for(path: WritePath) -> None:
    await path.pool.execute("ALTER TABLE fine ADD CHECK (fine_id <> 'POISON')")
    await path.take(
        fine(fine_id="HERE"),
        fine(fine_id="POISON"),
        payment(payment_id="a", fine_id="HERE"),
        payment(payment_id="b", fine_id="NEVER"),
        payment(payment_id="c", fine_id="NEVER"),
    )
    async with path.pool.acquire() as connection:
        result = await parked_by_wait(connection)
    assert {wait: waiting.records for wait, waiting in result.items()} == {
        Wait.INTERNAL_ERROR: 1,
        Wait.NOT_EXPORTED: 1,
        Wait.UNKNOWN_FINE: 2,
    }
    assert all(0 <= waiting.oldest_seconds < 60 for waiting in result.values())
