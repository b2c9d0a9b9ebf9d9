"""How the purge works: in pages, one instance for all, past what others hold, until a stop."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from prometheus_client import generate_latest

from service.database.session import Pool
from service.operations.purge import KINDS, Purge
from service.runtime.telemetry import Metrics
from service.settings.retention import RetentionLimits
from tests.support.commands import Commands
from tests.support.exports import waiters
from tests.support.guards import Unguarded
from tests.support.purging import grow_old, purged
from tests.support.write_path import WritePath, change

OLD_DAYS = 401
SECONDS_MAX = 60
DUE = "UPDATE upkeep_turn SET next_at = clock_timestamp() WHERE task = 'purge'"
REMOVED = "SELECT count(*) FROM rejected WHERE original_removed_at IS NOT NULL"


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    """Three old rejected records."""
    await path.take(*(change(change_id=f"C-{number}", amount="-1") for number in range(3)))
    await grow_old(path, OLD_DAYS)
    return path


def instance(pool: Pool, **limits: int) -> tuple[Purge, Metrics]:
    metrics = Metrics()
    return Purge(Unguarded(pool), metrics, RetentionLimits(**limits)), metrics


async def test_each_page_is_a_commit_of_its_own_and_the_oldest_goes_first(path: WritePath) -> None:
    await path.pool.execute(
        "UPDATE rejected SET recorded_at = recorded_at - record_offset * interval '1 hour'"
    )
    assert await purged(path, purge_page_rows_max=1) == {"rejected": 3}
    pages = await path.rows(
        "SELECT record_offset, xmin::text AS page FROM rejected ORDER BY original_removed_at"
    )
    assert [row["record_offset"] for row in pages] == [2, 1, 0]
    assert len({row["page"] for row in pages}) == 3
    counted = await path.rows("SELECT metric, labels, amount FROM command_tally")
    assert counted == [{"metric": "purged", "labels": ["rejected"], "amount": 1}] * 3


async def test_what_somebody_holds_is_passed_over_and_nobody_waits(
    path: WritePath, database_url: str
) -> None:
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT FROM rejected WHERE record_offset = 1 FOR UPDATE")
            async with asyncio.timeout(SECONDS_MAX):
                assert await purged(path) == {"rejected": 2}
    finally:
        await rival.close()
    assert await purged(path) == {"rejected": 1}


async def test_the_first_purge_is_a_day_away_and_then_one_instance_purges(path: WritePath) -> None:
    (first, metrics), (second, _) = instance(path.pool), instance(path.pool)
    assert await first.run_once() is None
    await path.pool.execute(DUE)
    assert await first.run_once() == 3
    assert await second.run_once() is None
    shown = generate_latest(metrics.registry).decode()
    assert 'bursar_purged_total{kind="rejected"} 3.0' in shown
    for kind in KINDS:
        assert f'bursar_kept_age_seconds{{kind="{kind.name}"}} 0.0' in shown


async def test_the_age_of_the_oldest_that_is_kept_is_shown(path: WritePath) -> None:
    purge, metrics = instance(path.pool, rejected_retention_days=0)
    await path.pool.execute(DUE)
    assert await purge.run_once() == 0
    age = metrics.registry.get_sample_value("bursar_kept_age_seconds", {"kind": "rejected"})
    assert age is not None
    assert age >= OLD_DAYS * 86_400


async def test_a_stop_ends_the_page_and_another_instance_goes_on(
    path: WritePath, database_url: str
) -> None:
    """The page waits for the row that another one's page holds."""
    await path.pool.execute(DUE)
    purge, _ = instance(path.pool)
    stop = asyncio.Event()
    rival = await asyncpg.connect(database_url)
    try:
        async with rival.transaction():
            await rival.execute("LOCK TABLE rejected IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(purge.run(stop))
            await waiters(path, 1)
            stop.set()
            async with asyncio.timeout(SECONDS_MAX):
                await running
            await waiters(path, 0)
    finally:
        await rival.close()
    assert await path.value(REMOVED) == 0
    await path.pool.execute(DUE)
    assert await instance(path.pool)[0].run_once() == 3


async def test_the_command_counts_and_removes_and_check_shows_the_retentions(
    path: WritePath, commands: Commands
) -> None:
    listed = {row["kind"]: row for row in await commands.lines("purge", "--dry-run")}
    assert set(listed) == {kind.name for kind in KINDS}
    assert (listed["rejected"]["due"], listed["rejected"]["kept_for"]) == (3, "400 days")
    assert await path.value(REMOVED) == 0
    removed = {row["kind"]: row["removed"] for row in await commands.lines("purge")}
    assert {kind: count for kind, count in removed.items() if count} == {"rejected": 3}
    assert await path.value(REMOVED) == 3
    (row,) = await commands.lines(
        "rejected", "show", "--institution", "6050", "--source", "ALMA", "--id", "C-1"
    )
    assert (row["bytes"], row["id"]) == ("removed after 401 days", "C-1")
    assert "envelope" not in row
    checked = await commands.call("check")
    assert "bytes of rejected records: 400 days" in checked.stdout
