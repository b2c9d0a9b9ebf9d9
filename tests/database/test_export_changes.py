"""What changes while an export run is under way: fines, patrons, the ledger beside it."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.support.exports import (
    check_sealed,
    exported,
    fine_ids,
    fines,
    held_back,
    lines_of_manifest,
    only,
    patron,
    profiles_with,
    run,
    waiters,
)
from tests.support.inputs import ABSENT, fine_created
from tests.support.write_path import Record, WritePath, change, fine, record, write_path


async def test_a_fine_behind_the_mark_goes_out_with_the_next_run(path: WritePath) -> None:
    """So does one ahead of the mark that came after the cutoff; nothing is lost between."""
    await path.take(*fines(15))
    profiles, stop = profiles_with(10), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(
        fine(fine_id="behind", patron=patron("P-00000a")),
        fine(fine_id="F-00009a", patron=patron(9)),
        fine(fine_id="F-00008z", patron=patron(9)),
        fine(fine_id="ahead", patron=patron("P-x")),
    )
    await run(path, profiles)
    await run(path, profiles)
    ids = fine_ids(await check_sealed(path))
    assert ids[1:] == [
        [f"F-{n:05}" for n in range(10, 15)],
        ["behind", "F-00008z", "F-00009a", "ahead"],
    ]


async def test_what_changes_between_claim_and_lock_is_looked_at_again(
    path: WritePath, database_url: str
) -> None:
    """Disputed meanwhile: neither exported nor left out of the count; paid: what remains goes, and
    nothing if nothing remains.
    """
    await path.take(*fines(4, of_each=4, amount="10.00"))
    account = "SELECT FROM account FOR UPDATE"
    rival = await asyncpg.connect(database_url)
    async with write_path(database_url, partition=1) as desk:
        try:
            holding = rival.transaction()
            await holding.start()
            await rival.execute(account)
            changes = asyncio.create_task(
                desk.take(
                    change(fine_id="F-00000", kind="disputed", amount=ABSENT, currency=ABSENT),
                    change(fine_id="F-00001", change_id="C-2", kind="paid", amount="4.00"),
                    change(fine_id="F-00003", change_id="C-3", kind="paid", amount="10.00"),
                )
            )
            await waiters(path, 1)
            running = asyncio.create_task(run(path, profiles_with()))
            await waiters(path, 2)
            await holding.rollback()
            await asyncio.gather(changes, running)
        finally:
            await rival.close()
    (manifest,) = await check_sealed(path)
    assert [(line["fine_id"], line["amount"]) for line in lines_of_manifest(manifest)] == [
        ("F-00001", "6.00"),
        ("F-00002", "10.00"),
    ]
    assert held_back(manifest) == {"in_dispute": 1}


async def test_a_patron_who_changes_between_claim_and_print_stops_no_run(
    path: WritePath, database_url: str
) -> None:
    """A fine in another currency brings a newer snapshot under another account's lock."""
    await path.take(*fines(2))
    rival = await asyncpg.connect(database_url)
    async with write_path(database_url, partition=1) as library:
        try:
            holding = rival.transaction()
            await holding.start()
            await rival.execute("SELECT FROM account FOR UPDATE")
            running = asyncio.create_task(run(path, profiles_with()))
            await waiters(path, 1)
            gone = patron(0, identifiers=[])
            newer = of_a_later_time(fine_id="EUR", patron=gone, currency="EUR")
            await library.take(newer)
            await holding.rollback()
            await running
        finally:
            await rival.close()
    (manifest,) = await check_sealed(path)
    assert fine_ids([manifest]) == [["F-00001"]]
    assert held_back(manifest) == {"no_identifier": 1}


def of_a_later_time(**overrides: object) -> Record:
    return record("fine-created.v1", fine_created(**overrides), "2026-09-02T00:00:00Z")


async def test_what_was_committed_before_a_run_is_in_it_however_much_comes_meanwhile(
    path: WritePath, database_url: str
) -> None:
    """The library goes on writing on both sides of the mark while each run is cut small."""
    profiles, committed, done = profiles_with(3), list[str](), asyncio.Event()

    async def write() -> None:
        async with write_path(database_url, partition=1) as library:
            for n in range(60):
                names = [f"F-{n}-{side}" for side in "az"]
                await library.take(
                    *(fine(fine_id=name, patron=patron(f"{name[-1]}{n % 7}")) for name in names)
                )
                committed.extend(names)
        done.set()

    writing = asyncio.create_task(write())
    while not done.is_set():
        before = list(committed)
        await run(path, profiles)
        left = "SELECT count(*) FROM fine WHERE status = 'Active' AND fine_id = any($1::text [])"
        assert await path.value(left, before) == 0
    await writing
    assert sorted(await exported(path, profiles)) == sorted(committed)


async def test_a_cutoff_is_whole_milliseconds_and_in_the_files_name(path: WritePath) -> None:
    await path.take(*fines(1))
    (manifest,) = await run(path, profiles_with())
    assert manifest.cutoff.microsecond % 1_000 == 0
    milliseconds = int(manifest.cutoff.timestamp()) * 1_000 + manifest.cutoff.microsecond // 1_000
    assert manifest.file_name == f"bursar-{manifest.export_number}-{milliseconds}.xml"


@pytest.mark.parametrize("empty_run", ["nothing", "empty_batch"])
async def test_a_run_that_only_holds_back_is_an_empty_one(path: WritePath, empty_run: str) -> None:
    await path.take(fine(exportable=False))
    await run(path, profiles_with(more=f'empty_run = "{empty_run}"'))
    result = [(item["count"], item["last"], held_back(item)) for item in await check_sealed(path)]
    assert result == ([] if empty_run == "nothing" else [(0, True, {"not_exportable": 1})])
