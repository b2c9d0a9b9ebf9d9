"""One instance reconciles for all of them, once in an interval, and gives way to a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client import generate_latest

from service.database.session import Pool, create_pool
from service.operations.reconcile import Reconcile
from service.runtime.telemetry import Metrics
from service.settings.access import DatabaseLimits
from tests.support.write_path import WritePath, fine

SECONDS_MAX = 60
DAY = 86_400
NO_INTERVAL = 0  # due again at once, were it not for the instance that is at it


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    await path.take(fine())
    return path


@asynccontextmanager
async def accounts_locked(database_url: str) -> AsyncIterator[None]:
    """Whoever compares them waits as long as the block lasts."""
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await rival.close()


async def waiting(path: WritePath) -> bool:
    query = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
)
"""
    return bool(await path.value(query))


async def until_somebody_waits(path: WritePath) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not await waiting(path):
            pass


def instance(pool: Pool, interval_seconds: int = DAY) -> tuple[Reconcile, Metrics]:
    metrics = Metrics()
    return Reconcile(pool, metrics, interval_seconds), metrics


async def test_one_instance_is_at_it_and_the_others_pass_it_by(
    path: WritePath, database_url: str
) -> None:
    (first, _), (second, _) = instance(path.pool, NO_INTERVAL), instance(path.pool, NO_INTERVAL)
    async with accounts_locked(database_url):
        comparing = asyncio.create_task(first.run_once())
        await until_somebody_waits(path)
        assert await second.run_once() is None
    done = await comparing
    assert done is not None
    assert done.agrees
    assert await second.run_once() is not None, "due again, and nobody is at it"


async def test_a_start_does_not_compare_again_what_was_compared_today(path: WritePath) -> None:
    await path.pool.execute("UPDATE account SET sequence = sequence + 1")
    yesterday, _ = instance(path.pool)
    assert await yesterday.run_once() is not None
    started, metrics = instance(path.pool)
    assert await started.run_once() is None
    shown = generate_latest(metrics.registry)
    assert b"bursar_reconcile_differences 1.0" in shown, "what the database keeps of the last one"
    assert b"bursar_reconcile_timestamp_seconds 0.0" not in shown


async def test_a_failure_puts_the_next_try_off_for_every_instance(
    path: WritePath, database_url: str
) -> None:
    impatient = await create_pool(database_url, DatabaseLimits(database_lock_wait_ms_max=100))
    try:
        for failures, minutes in ((1, 0), (2, 1), (3, 3)):
            await path.pool.execute(
                "UPDATE upkeep_turn SET next_at = clock_timestamp() WHERE task = 'reconcile'"
            )
            async with accounts_locked(database_url):
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await instance(impatient)[0].run_once()
            (row,) = await path.rows(
                """SELECT attempts, next_at > clock_timestamp() + $1 * interval '1 minute' AS late
                FROM upkeep_turn WHERE task = 'reconcile'""",
                minutes,
            )
            assert row == {"attempts": failures, "late": True}
            assert await instance(path.pool)[0].run_once() is None
    finally:
        await impatient.close()
    await path.pool.execute(
        "UPDATE upkeep_turn SET next_at = clock_timestamp() WHERE task = 'reconcile'"
    )
    assert await instance(path.pool)[0].run_once() is not None
    assert await path.value("SELECT attempts FROM upkeep_turn WHERE task = 'reconcile'") == 0


async def test_a_stop_ends_the_statement_that_is_running(
    path: WritePath, database_url: str
) -> None:
    stop = asyncio.Event()
    async with accounts_locked(database_url):
        running = asyncio.create_task(instance(path.pool)[0].run(stop))
        await until_somebody_waits(path)
        stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await running
        assert not await waiting(path), "the server has given it up, too"
