"""Schedules on a real database: due once, whoever looks; one profile's trouble is its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import asyncpg

from service.apply.tally import TallyInMetrics
from service.export.job import ExportJob
from service.export.profiles.profile import Profiles
from service.export.schedule import MAX_MS, Retries
from service.export.store import SQL
from service.runtime.telemetry import Metrics
from tests.support.exports import fines, waiters
from tests.support.installation import institution, profile
from tests.support.plans import Node
from tests.support.write_path import TOPICS, WritePath, fine, profiles_of, write_path

HOURLY = {"interval_seconds": 3600}


def due(
    *codes: str, institution_id: str = "6050", schedule: Mapping[str, object] = HOURLY
) -> Profiles:
    tables = [
        profile(
            code,
            institution=institution_id,
            fine_types=["OVERDUEFINE", f"OF_{code}"],
            fines_max=3,
            empty_run="empty_batch",
            **schedule,
        )
        for code in codes
    ]
    return profiles_of(institution(institution_id) + "".join(tables))


async def test_a_schedule_that_another_exporter_has_kept_is_not_kept_again(
    path: WritePath, database_url: str
) -> None:
    """One has seen that both profiles are due; while it waits in the first, another runs both."""
    await path.take(fine(type="OF_A"))
    profiles = due("A", "B")
    rival = await asyncpg.connect(database_url)
    async with write_path(database_url, partition=1) as other:
        try:
            holding = rival.transaction()
            await holding.start()
            await rival.execute("SELECT FROM account FOR UPDATE")
            running = asyncio.create_task(path.exports(profiles).run_once())
            await waiters(path, 1)
            assert await other.exports(due("B")).run_once() == 1
            await holding.rollback()
            assert await running == 1
        finally:
            await rival.close()
    rows = await path.rows("SELECT profile, fine_count FROM export_batch ORDER BY profile")
    assert rows == [{"profile": "A", "fine_count": 1}, {"profile": "B", "fine_count": 0}]
    assert await path.exports(profiles).run_once() == 0


async def test_two_exporters_keep_a_missed_schedule_once(
    path: WritePath, database_url: str
) -> None:
    await path.take(*fines(10))
    profiles = due("A")
    async with write_path(database_url, partition=1) as other:
        sealed = await asyncio.gather(
            *(item.exports(profiles).run_once() for item in (path, other, path, other))
        )
    assert sum(sealed) == 4
    assert await path.value("SELECT count(DISTINCT run_id) FROM export_run") == 1


async def test_a_profile_that_moved_to_another_institution_has_a_schedule_of_its_own(
    path: WritePath,
) -> None:
    await path.exports(due("A")).run_once()
    moved = due("A", institution_id="7")
    assert await path.exports(moved).run_once() == 1
    assert await path.exports(moved).run_once() == 0
    assert await path.exports(due("A")).run_once() == 0
    rows = await path.rows("SELECT institution_id, state FROM export_run ORDER BY 1")
    assert rows == [
        {"institution_id": "6050", "state": "closed"},
        {"institution_id": "7", "state": "closed"},
    ]


async def test_missed_times_are_caught_up_by_one_run(path: WritePath) -> None:
    """Nights that nobody was there for: one run, then the next night's."""
    nightly = due("A", schedule={"cron": "0 2 * * *"})
    await path.take(*fines(2))
    job = path.exports(nightly)
    assert await job.run_once() == 0, "seen just now: its first time is still to come"
    await path.pool.execute("UPDATE profile_seen SET since = since - interval '5 days'")
    assert await job.run_once() == 1
    assert await job.run_once() == 0
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff - interval '3 days'")
    assert [await job.run_once() for _ in range(3)] == [1, 0, 0]
    assert await path.value("SELECT count(*) FROM export_run") == 2


async def test_a_batch_that_cannot_be_sealed_stops_its_own_profile_alone(path: WritePath) -> None:
    """The institution's export numbers are used up: nothing of it is written, the others run."""
    await path.take(fine(type="OF_A"), fine(type="OF_B", institution_id="7"))
    await path.pool.execute("INSERT INTO export_counter VALUES ('6050', 999999999999999, 1000)")
    item, other = due("A"), due("B", institution_id="7")
    both = Profiles(item.institutions + other.institutions, item.profiles + other.profiles)
    metrics, clock = Metrics(), [0]
    path.applier.tally_sink = TallyInMetrics(metrics)
    job = ExportJob(path.applier, TOPICS, both, metrics, retries=Retries(lambda: clock[0]))
    assert await job.run_once() == 1
    assert await path.rows("SELECT institution_id AS id, status FROM fine ORDER BY 1") == [
        {"id": "6050", "status": "Active"},
        {"id": "7", "status": "Transferred"},
    ]
    assert failures_of("A", metrics) == 1
    await path.take(fine(fine_id="F-2", type="OF_B", institution_id="7"))
    await path.pool.execute(
        "UPDATE export_run SET cutoff = cutoff - interval '2 hours' WHERE profile = 'B'"
    )
    assert await job.run_once() == 1, "the other profile alone, by its schedule"
    assert failures_of("A", metrics) == 1, "not tried again before its time has come"
    clock[0] += MAX_MS * 1_000_000
    assert await job.run_once() == 0
    assert failures_of("A", metrics) == 2
    await path.pool.execute("UPDATE export_counter SET export_number = 100000000000007")
    clock[0] += MAX_MS * 1_000_000
    assert await job.run_once() == 1
    rows = await path.rows("SELECT export_number::text AS n FROM export_batch WHERE profile = 'A'")
    assert rows == [{"n": "100000000000008"}]
    assert await path.value("SELECT count(*) FROM export_run") == 3


def failures_of(code: str, metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("bursar_run_failures_total", {"profile": code})


async def test_the_latest_run_is_found_without_reading_the_others(path: WritePath) -> None:
    """Every look for due profiles asks; an interval of a minute leaves half a million a year."""
    await path.exports(due("A")).run_once()
    many = """
INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)
SELECT '6050', 'A', n::text, '2026-01-01Z'::timestamptz + n * interval '1 minute', 'closed'
FROM generate_series(1, 20000) AS n
RETURNING run_id
"""
    latest = max(int(str(row["run_id"])) for row in await path.rows(many))
    assert latest == 20_000
    async with path.pool.acquire() as connection:
        await connection.execute("ANALYZE export_run")
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {SQL['profile_runs']}")
    assert rows_read(json.loads(plan)[0]["Plan"]) < 20


def rows_read(node: Node) -> int:
    """Of all scans below a plan's node."""
    tables = node["Actual Rows"] if "Relation Name" in node else 0
    return int(tables) + sum(map(rows_read, node.get("Plans", [])))
