"""The check `commits`: a database that answers and takes no commit."""

from __future__ import annotations

import asyncpg
import pytest

from service.consumer.commits import FAILING_MS_MIN, QUIET_MS, Commits

FULL = "no record can be committed: the disk of the server is full"


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def commits(clock: Clock) -> Commits:
    return Commits(clock)


def test_a_failure_that_lasts_is_named_and_a_short_one_is_not(
    commits: Commits, clock: Clock
) -> None:
    assert commits.problem() is None
    commits.failed(asyncpg.DiskFullError("x"))
    clock.now_ms += FAILING_MS_MIN - 1
    assert commits.problem() is None
    clock.now_ms += 1
    assert commits.problem() == FULL


def test_a_commit_ends_it_and_a_poll_without_records_does_not(
    commits: Commits, clock: Clock
) -> None:
    commits.failed(asyncpg.DiskFullError("x"))
    clock.now_ms += FAILING_MS_MIN
    commits.succeeded(0)
    assert commits.problem() == FULL
    commits.succeeded(1)
    assert commits.problem() is None


def test_without_records_it_ends_once_nothing_has_failed_for_some_time(
    commits: Commits, clock: Clock
) -> None:
    commits.failed(asyncpg.DiskFullError("x"))
    clock.now_ms += QUIET_MS
    commits.succeeded(0)
    assert commits.problem() == FULL
    clock.now_ms += 1
    commits.succeeded(0)
    assert commits.problem() is None


def test_it_names_the_latest_reason(commits: Commits, clock: Clock) -> None:
    commits.failed(TimeoutError())
    clock.now_ms += FAILING_MS_MIN
    commits.failed(asyncpg.ReadOnlySQLTransactionError("x"))
    assert (
        commits.problem() == "no record can be committed: the server only reads: is it a standby?"
    )
