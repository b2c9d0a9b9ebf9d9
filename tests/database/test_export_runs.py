"""Runs that sealed nothing do not pile up."""

from __future__ import annotations

from service.export.profiles.profile import Profiles
from service.export.store import EMPTY_RUNS_DELETED_MAX
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine, profiles_of

PROFILES = profiles_of(institution() + profile("A", interval_seconds=60))
OLD_RUNS = """
INSERT INTO export_run (institution_id, profile, run_id, cutoff, state, parts)
SELECT '6050', $1, n::text, timestamptz '2026-01-01 00:00Z' + n * interval '1 minute', 'closed', $3
FROM generate_series(1, $2::integer) AS n
"""


async def runs(path: WritePath, profile: str = "A") -> int:
    count = await path.value("SELECT count(*) FROM export_run WHERE profile = $1", profile)
    assert isinstance(count, int)
    return count


async def make_due(path: WritePath) -> None:
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff - interval '1 hour'")


async def run(path: WritePath, profiles: Profiles = PROFILES) -> int:
    return await path.exports(profiles).run_once()


async def test_a_run_without_a_batch_leaves_no_row_once_the_next_one_closes(
    path: WritePath,
) -> None:
    for _ in range(3):
        await make_due(path)
        assert await run(path) == 0
        assert await runs(path) == 1, "the newest one stays: the schedule goes by it"
        assert await run(path) == 0
        assert await runs(path) == 1, "not due again"


async def test_runs_of_batches_stay(path: WritePath) -> None:
    await path.take(fine())
    assert await run(path) == 1
    for _ in range(2):
        await make_due(path)
        assert await run(path) == 0
    assert await runs(path) == 2
    with_batch = "SELECT count(*) FROM export_run WHERE run_id IN (SELECT run_id FROM export_batch)"
    assert await path.value(with_batch) == 1


async def test_what_an_older_release_left_goes_step_by_step(path: WritePath) -> None:
    old = EMPTY_RUNS_DELETED_MAX + 500
    await path.pool.execute(OLD_RUNS, "A", old, 0)
    await path.pool.execute(OLD_RUNS, "B", 5, 0)
    await path.pool.execute(OLD_RUNS, "C", 5, 1)
    assert await run(path) == 0
    assert await runs(path) == 1 + old - EMPTY_RUNS_DELETED_MAX
    await make_due(path)
    assert await run(path) == 0
    assert await runs(path) == 1
    assert (await runs(path, "B"), await runs(path, "C")) == (5, 5), "of other profiles"
