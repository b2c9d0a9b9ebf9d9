"""A database clock that was ahead and was set back: nothing waits until that time has come."""

from __future__ import annotations

import pytest

from service.export.profiles.profile import Profiles
from service.relay.lease import Lease, LeaseLost
from tests.support.exports import check_sealed, fines, profiles_with
from tests.support.write_path import WritePath

SECONDS = 10
HOURLY = 'interval_seconds = 3600\nempty_run = "empty_batch"'
NIGHTLY = 'cron = "0 2 * * *"\nempty_run = "empty_batch"'


def scheduled(schedule: str) -> Profiles:
    return profiles_with(more=schedule)


async def ends(path: WritePath, after: str) -> None:
    """Of the lease, in the time of the clock as it is now."""
    await path.pool.execute(
        "UPDATE relay_lease SET expires_at = clock_timestamp() + $1::text::interval", after
    )


async def test_a_lease_that_ends_later_than_any_given_now_counts_as_run_out(
    path: WritePath,
) -> None:
    first, second = (Lease(path.pool, name, SECONDS) for name in ("first", "second"))
    assert await first.take()
    await ends(path, "1 day")
    assert await second.take()
    with pytest.raises(LeaseLost):
        await first.renew()
    left = "SELECT expires_at - clock_timestamp() <= interval '10 seconds' FROM relay_lease"
    assert await path.value(left)


@pytest.mark.parametrize("after", ["9 seconds", "1 second"])
async def test_a_lease_that_could_be_given_now_is_left_to_its_holder(
    path: WritePath, after: str
) -> None:
    first, second = (Lease(path.pool, name, SECONDS) for name in ("first", "second"))
    assert await first.take()
    await ends(path, after)
    assert not await second.take()
    await first.renew()


async def test_a_run_with_a_cutoff_in_the_future_does_not_keep_the_schedule_from_its_next_run(
    path: WritePath,
) -> None:
    """The run before it counts: it is two hours ago, and one is due each hour."""
    job = path.exports(scheduled(HOURLY))
    assert await job.run_once() == 1
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff - interval '2 hours'")
    assert await job.run_once() == 1
    await path.pool.execute(
        "UPDATE export_run SET cutoff = cutoff + interval '30 days'"
        " WHERE cutoff > clock_timestamp() - interval '1 hour'"
    )
    assert [await job.run_once() for _ in range(3)] == [1, 0, 0]
    assert await path.value("SELECT count(*) FROM export_run") == 3


async def test_where_all_runs_have_a_cutoff_in_the_future_a_run_is_due_and_then_none(
    path: WritePath,
) -> None:
    await path.take(*fines(2))
    job = path.exports(scheduled(HOURLY))
    assert await job.run_once() == 1
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff + interval '30 days'")
    assert [await job.run_once() for _ in range(3)] == [1, 0, 0]
    assert [manifest["count"] for manifest in await check_sealed(path)] == [2, 0]


async def test_a_nightly_run_whose_last_cutoff_lies_in_the_future_is_caught_up_once(
    path: WritePath,
) -> None:
    job = path.exports(scheduled(NIGHTLY))
    assert await job.run_once() == 0
    await path.pool.execute("UPDATE profile_seen SET since = since - interval '5 days'")
    assert await job.run_once() == 1
    await path.pool.execute("UPDATE export_run SET cutoff = cutoff + interval '400 days'")
    assert [await job.run_once() for _ in range(3)] == [1, 0, 0]


async def test_a_profile_that_was_first_seen_in_the_future_is_seen_now(path: WritePath) -> None:
    job = path.exports(scheduled(NIGHTLY))
    await job.run_once()
    await path.pool.execute("UPDATE profile_seen SET since = since + interval '400 days'")
    assert await job.run_once() == 0
    assert await path.value("SELECT since <= clock_timestamp() FROM profile_seen")
    before = await path.value("SELECT since FROM profile_seen")
    await job.run_once()
    assert await path.value("SELECT since FROM profile_seen") == before
