"""The log tells of a failing check once, and once of its end; not of what fails for another one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from service.runtime import readiness as readiness_module
from service.runtime.readiness import SILENT, Check, Readiness, Reporting
from service.runtime.telemetry import Event, Metrics


class World:
    """What the checks find; None: all is well."""

    def __init__(self) -> None:
        self.readiness = Readiness(Metrics())
        self.problems: Mapping[str, str | None] = {}

    def add(self, name: str, reporting: Reporting) -> None:
        async def ask() -> str | None:
            return self.problems.get(name)

        self.readiness.register(name, ask, reporting)

    async def logged(self, *states: Mapping[str, str | None]) -> list[tuple[object, ...]]:
        """Event, check and problem of each line, as one state follows the other."""
        with capture_logs() as lines:
            for state in states:
                self.problems = state
                self.readiness._latest = None  # half a second later
                self.readiness.report(await self.readiness.findings())
        return [(line["event"], line["check"], line.get("problem")) for line in lines]


@pytest.fixture
def world() -> World:
    return World()


UNAVAILABLE, GOOD = {"database": "away"}, {"database": None}


async def test_a_failure_and_its_end_are_told_once_each(world: World) -> None:
    world.add("database", Reporting())
    assert await world.logged(
        GOOD, UNAVAILABLE, UNAVAILABLE, {"database": "TimeoutError"}, GOOD, GOOD
    ) == [
        (Event.CHECK_FAILED, "database", "away"),
        (Event.CHECK_PASSED, "database", None),
    ]
    assert len(await world.logged(UNAVAILABLE, GOOD)) == 2, "and again the next time"


async def test_where_each_problem_counts_another_one_is_told(world: World) -> None:
    reporting = Reporting(each_problem=True, failed=Event.TOPICS_NOT_READ, passed=Event.TOPICS_READ)
    world.add("topics", reporting)
    texts = ("A is gone", "A is gone", "A and B are gone", None)
    states = [{"topics": text} for text in texts]
    assert await world.logged(*states) == [
        (Event.TOPICS_NOT_READ, "topics", "A is gone"),
        (Event.TOPICS_NOT_READ, "topics", "A and B are gone"),
        (Event.TOPICS_READ, "topics", None),
    ]


async def test_what_fails_for_another_check_is_not_told(world: World) -> None:
    world.add("database", Reporting())
    world.add("relay", Reporting(needs=("database",)))
    both = {"database": "away", "relay": "away"}
    assert await world.logged(both, {"relay": "away"}, {}) == [
        (Event.CHECK_FAILED, "database", "away"),
        (Event.CHECK_PASSED, "database", None),
        (Event.CHECK_FAILED, "relay", "away"),
        (Event.CHECK_PASSED, "relay", None),
    ]


@pytest.mark.parametrize(("seconds", "events"), [(9, []), (10, ["failed", "passed"])])
async def test_a_failure_shorter_than_the_patience_is_not_told(
    monkeypatch: pytest.MonkeyPatch, seconds: int, events: list[str]
) -> None:
    clock = [0]
    monkeypatch.setattr(readiness_module, "monotonic_seconds", lambda: clock[0])
    check = Check("intake", never_asked, Reporting(patience_seconds=10))
    with capture_logs() as lines:
        for clock[0], problem in ((0, "away"), (seconds, "away"), (seconds + 5, None)):
            check.report(problem, is_explained=False)
    assert [line["event"] for line in lines] == [f"check_{event}" for event in events]
    assert [line["failed_seconds"] for line in lines[1:]] == [15 for _ in lines[1:]]


async def never_asked() -> str | None:
    raise AssertionError


async def test_a_check_with_lines_of_its_own_is_never_told(world: World) -> None:
    world.add("database", SILENT)
    assert await world.logged(UNAVAILABLE, GOOD) == []
    assert not (await world.readiness.findings())[0].problem


async def test_a_check_that_hangs_is_asked_once_and_its_late_answer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise each probe would hold one more connection to a database that is silent."""
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS_MAX", 0)
    monkeypatch.setattr(readiness_module, "KEPT_MS", -1)
    asked, answered, readiness = [], asyncio.Event(), Readiness(Metrics())

    async def ask() -> str | None:
        asked.append(1)
        await answered.wait()
        return None

    readiness.register("database", ask)
    for _ in range(3):
        assert not (await readiness.findings())[0].ok
    answered.set()
    assert (await readiness.findings())[0].ok
    assert len(asked) == 1
    await readiness.close()
