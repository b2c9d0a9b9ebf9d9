"""What ends a run of the benchmark: the auditor, too much memory, a deadlock."""

import asyncio
import os
import subprocess
import sys

import asyncpg
import pytest

from tests.auditor.evidence import Record
from tests.auditor.reading import read
from tests.bench import load
from tests.bench.counted import counted
from tests.bench.exporting import exported
from tests.bench.history import History, fill_with_history
from tests.bench.ledgers import BALANCES, exported_lines
from tests.bench.peak import highest_peak_mb, peak_mb
from tests.bench.soundness import PEAK_MB_MAX, require_small, require_sound
from tests.bench.throughput import MEMBERS, sound_pace
from tests.bench.world import BenchFailed, World, execute, new_database, new_world, produce
from tests.support.services import Services

EVENTS = 30
WARM_UP = 5

pytestmark = pytest.mark.no_cover


async def test_what_is_left_is_judged_with_the_records_of_before(services: Services) -> None:
    """An export run, and payments for its lines by two members; then a fault after another."""
    async with new_database(services) as filled:
        fines = await fill_with_history(filled, EVENTS)
        async with exported(services, filled) as (world, result):
            before = await require_sound(world, result.fines, fines)
            payments = list(load.payments(await exported_lines(world.database_url)))
            async with new_world(services, world.database_url) as paid:
                await sound_pace(paid, load.PAYMENT, payments, WARM_UP, MEMBERS, before)
                await _check_faults(paid, before)


async def _check_faults(world: World, before: History) -> None:
    with pytest.raises(BenchFailed, match="findings"):
        await require_sound(world, EVENTS)
    with pytest.raises(BenchFailed, match="there are 30 events instead of 31"):
        await require_sound(world, EVENTS + 1, before)
    history = await require_sound(world, EVENTS, before)
    await execute(world.database_url, "UPDATE account SET transferred = transferred + 1")
    with pytest.raises(BenchFailed, match="the account is not that of the model"):
        await require_sound(world, EVENTS, before)
    await execute(world.database_url, "UPDATE account SET transferred = transferred - 1")
    event = history[BALANCES][-1]
    assert event.key is not None
    assert event.value is not None
    headers = tuple((name, value or b"") for name, value in event.headers or ())
    again = load.Record(event.key, event.value, headers)
    await asyncio.to_thread(produce, world, BALANCES, [again])
    with pytest.raises(BenchFailed, match="there are 31 events instead of 30"):
        await require_sound(world, EVENTS, before)


async def test_fines_with_keys_at_random_leave_a_sound_ledger(services: Services) -> None:
    keyed = list(load.fines(EVENTS))
    scattered = list(load.keyed_at_random(keyed))
    assert len({record.key for record in scattered}) == EVENTS
    assert [record.value for record in scattered] == [record.value for record in keyed]
    async with new_world(services) as world:
        await sound_pace(world, load.FINE, scattered, WARM_UP, MEMBERS)


def test_every_record_of_the_load_has_the_shape_of_its_schema() -> None:
    """So that the auditor need not compare each of them with it."""
    lines = [load.Line("P000000001", f"{number:016d}", 1 + 20 * number) for number in range(EVENTS)]
    for contract, records in (
        (load.FINE, load.fines(EVENTS)),
        (load.FINE, load.more_fines(["P000000001", "P000000002-7"], 0)),
        (load.PAYMENT, load.payments(lines)),
    ):
        for record in records:
            assert read(contract, Record(contract, 0, 0, *record)) is not None


async def test_deadlocks_and_what_was_rolled_back_are_counted(services: Services) -> None:
    async with new_database(services) as url:
        before, both = await counted(services, url), asyncio.Barrier(2)
        await execute(url, "CREATE TABLE pair AS SELECT generate_series(1, 2) AS number")
        results = await asyncio.gather(
            _lock(url, both, 1, 2), _lock(url, both, 2, 1), return_exceptions=True
        )
        after = await counted(services, url)
    assert [type(result) for result in results if result] == [asyncpg.DeadlockDetectedError]
    assert after.deadlocks - before.deadlocks == 1
    assert after.rollbacks - before.rollbacks == 1


async def _lock(url: str, both: asyncio.Barrier, first: int, second: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM pair WHERE number = $1 FOR UPDATE", first)
            await both.wait()
            await connection.execute("SELECT FROM pair WHERE number = $1 FOR UPDATE", second)
    finally:
        await connection.close()


def test_the_highest_peak_is_that_of_any_process_below() -> None:
    """The block is held no more when the peak is read."""
    size = 300 * 1024 * 1024
    inner = f"bytes(b'1' * {size}); print(flush=True); input()"
    outer = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    with subprocess.Popen(
        [sys.executable, "-c", outer, inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        peak = highest_peak_mb(process.pid)
        process.communicate(b"\n")
    assert 300 < peak < 400
    assert highest_peak_mb(process.pid) == 0
    assert highest_peak_mb(os.getpid()) >= peak_mb()


def test_a_process_that_holds_too_much_fails_the_run() -> None:
    assert require_small(PEAK_MB_MAX) == PEAK_MB_MAX
    with pytest.raises(BenchFailed, match="has held 401 MB"):
        require_small(PEAK_MB_MAX + 1)
