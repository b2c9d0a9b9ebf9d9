"""What comes into the ledger after the cutoff of a run waits for the next run (rules.md, 5)."""

from __future__ import annotations

import asyncio

from service.database.ledger_read import LedgerReader
from service.export.preview import preview
from service.export.profiles.profile import Profiles
from service.messages.decode import parse
from tests.support.exports import (
    check_sealed,
    fine_ids,
    only,
    patron,
    profiles_with,
    record_at,
    run,
)
from tests.support.write_path import WritePath, change, fine, payment

WITH_CREDITS = profiles_with(1, credits={"included": True})
# A payment from before the run that waits for the export of its fine, with an excess of 4.50.
OVERPAID = (fine(fine_id="F-1"), payment(amount="100.00", paid_at="2026-09-02T00:00:00Z"))


async def credit_ids(path: WritePath) -> list[object]:
    return [row["fine_id"] for row in await path.rows("SELECT fine_id FROM fine WHERE amount < 0")]


async def previewed(path: WritePath, profiles: Profiles) -> list[list[str]]:
    """The fines of each batch that a run would seal now."""
    batches = preview(path.pool, LedgerReader(parse), only(profiles))
    return [[line.fine_id for line in built.manifest.lines] async for built in batches]


async def first_batch(path: WritePath, profiles: Profiles) -> None:
    """A run begins, and stays open behind its first batch."""
    stop = asyncio.Event()
    await path.exports(profiles).run_profile(only(profiles), lambda _: stop.set(), stop)


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
    expected = await previewed(path, WITH_CREDITS)
    await run(path, WITH_CREDITS)
    assert fine_ids(await check_sealed(path)) == expected == [["F-1"], ["G-1"]]


async def test_a_credit_that_a_change_makes_during_a_run_waits_for_the_next_run(
    path: WritePath,
) -> None:
    profiles = profiles_with(1, credits={"included": True}, library_payments="credit")
    await path.take(fine(fine_id="F-1"), fine(fine_id="G-1", patron=patron("P-2")))
    paid = change(fine_id="F-1", changed_at="2026-09-02T10:00:00Z")
    await first_batch(path, profiles)
    await path.take(paid)
    await run(path, profiles)
    assert fine_ids(await check_sealed(path)) == [["F-1"], ["G-1"]]
    await run(path, profiles)
    assert fine_ids(await check_sealed(path)) == [["F-1"], ["G-1"], await credit_ids(path)]


async def test_fines_that_are_read_during_a_run_wait_for_the_next_run(path: WritePath) -> None:
    """Wherever they lie, and although the library created all of them before the run."""
    profiles = profiles_with(1)
    await path.take(*(fine(fine_id=f"F-{n}", patron=patron(f"P-{n}")) for n in (2, 4, 6)))
    await first_batch(path, profiles)
    nameless = patron("P-7", name="")
    await path.take(
        *(fine(fine_id=f"F-{n}", patron=patron(f"P-{n}")) for n in (1, 3, 5)),
        fine(fine_id="G-4", patron=patron("P-4")),
        fine(fine_id="F-7", patron=nameless),
    )
    expected = await previewed(path, profiles)
    await run(path, profiles)
    *_, last = manifests = await check_sealed(path)
    assert fine_ids(manifests) == [["F-2"], *expected] == [["F-2"], ["F-4"], ["F-6"]]
    assert last["held_back"] == []
    expected = await previewed(path, profiles)
    await run(path, profiles)
    *_, last = manifests = await check_sealed(path)
    assert fine_ids(manifests[3:]) == expected == [["F-1"], ["F-3"], ["G-4"], ["F-5"]]
    assert last["held_back"] == [{"reason": "no_patron_name", "count": 1}]


async def test_what_a_fine_owes_is_what_it_owes_when_its_batch_is_sealed(path: WritePath) -> None:
    profiles = profiles_with(1)
    await path.take(fine(fine_id="F-1"), fine(fine_id="F-2", patron=patron("P-2"), amount="9.00"))
    await first_batch(path, profiles)
    await path.take(change(fine_id="F-2", kind="paid", amount="4.00"))
    await run(path, profiles)
    _, second = await check_sealed(path)
    assert second["total"] == "5.00"


async def test_a_fine_of_a_clock_that_was_ahead_does_not_wait_for_that_time(
    path: WritePath,
) -> None:
    await path.take(fine(fine_id="F-1"))
    await record_at(path, "recorded_at + interval '40 years'")
    await run(path, profiles_with())
    assert fine_ids(await check_sealed(path)) == [["F-1"]]
