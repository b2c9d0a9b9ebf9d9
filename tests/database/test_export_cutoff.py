"""What the service creates after the cutoff of a run waits for the next run (rules.md, 5)."""

from __future__ import annotations

import asyncio

from service.database.ledger_read import LedgerReader
from service.export.preview import preview
from service.messages.decode import parse
from tests.support.exports import check_sealed, fine_ids, only, patron, profiles_with, run
from tests.support.write_path import WritePath, change, fine, payment

WITH_CREDITS = profiles_with(1, credits={"included": True})
# A payment from before the run that waits for the export of its fine, with an excess of 4.50.
OVERPAID = (fine(fine_id="F-1"), payment(amount="100.00", paid_at="2026-09-02T00:00:00Z"))


async def credit_ids(path: WritePath) -> list[object]:
    return [row["fine_id"] for row in await path.rows("SELECT fine_id FROM fine WHERE amount < 0")]


async def test_the_excess_of_a_runs_own_batch_waits_for_the_next_run(path: WritePath) -> None:
    await path.take(*OVERPAID)
    await run(path, WITH_CREDITS)
    (credit,) = await credit_ids(path)
    assert fine_ids(await check_sealed(path)) == [["F-1"]]
    await run(path, WITH_CREDITS)
    assert fine_ids(await check_sealed(path)) == [["F-1"], [credit]]


async def test_a_preview_has_the_batches_of_a_run_whose_first_batch_makes_a_credit(
    path: WritePath,
) -> None:
    await path.take(*OVERPAID, fine(fine_id="G-1", patron=patron("P-2")))
    previews = preview(path.pool, LedgerReader(parse), only(WITH_CREDITS))
    expected = [[line.fine_id for line in built.manifest.lines] async for built in previews]
    await run(path, WITH_CREDITS)
    assert fine_ids(await check_sealed(path)) == expected == [["F-1"], ["G-1"]]


async def test_a_credit_that_a_change_makes_during_a_run_waits_for_the_next_run(
    path: WritePath,
) -> None:
    profiles = profiles_with(1, credits={"included": True}, library_payments="credit")
    await path.take(fine(fine_id="F-1"), fine(fine_id="G-1", patron=patron("P-2")))
    job = path.exports(profiles)
    paid = change(fine_id="F-1", changed_at="2026-09-02T10:00:00Z")
    stop = asyncio.Event()
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(paid)
    await run(path, profiles)
    assert fine_ids(await check_sealed(path)) == [["F-1"], ["G-1"]]
    await run(path, profiles)
    assert fine_ids(await check_sealed(path)) == [["F-1"], ["G-1"], await credit_ids(path)]
