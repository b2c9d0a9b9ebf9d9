"""The parent of several members: what it starts, ends, adds up and passes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from service.runtime.telemetry import Metrics
from service.supervisor.children import running_child
from service.supervisor.supervisor import Limits, Supervisor
from tests.support.small_members import small_member, starts
from tests.support.waiting import until

STOP_SECONDS_MAX = 20
SILENT_SECONDS_MAX = 3_600
LIMITS = Limits(STOP_SECONDS_MAX, SILENT_SECONDS_MAX, 1)
WORKS = "report(1)\nuntil_asked()\nreport(2)\n"


@dataclass
class Parent:
    """A supervisor at work in this process, with members that run `body`."""

    folder: Path
    body: str
    count: int = 2
    limits: Limits = LIMITS
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None

    def __post_init__(self) -> None:
        command = small_member(self.folder, self.body)
        self.supervisor = Supervisor(partial(running_child, command), Metrics())

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.supervisor.run(self.count, self.stop, self.limits))
        try:
            yield
            self.stop.set()
            self.status = await task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def starts(self, number: int) -> list[int]:
        """The process ids of the member's starts."""
        return starts(self.folder, number)

    def problems(self) -> dict[str, str | None]:
        return {finding.check: finding.problem for finding in self.supervisor.findings()}

    def polls(self) -> object:
        return self.sample("bursar_polls_total")

    def sample(self, name: str, *labels: str) -> object:
        samples = (each for family in self.supervisor.collect() for each in family.samples)
        return next(
            (
                each.value
                for each in samples
                if each.name == name and tuple(each.labels.values()) == labels
            ),
            None,
        )

    async def all_work(self) -> None:
        await until(lambda: self.problems() == {"members": None, "kafka": None})


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_members_work_until_the_stop_and_their_last_counts_are_kept(tmp_path: Path) -> None:
    parent = Parent(tmp_path, WORKS, count=3)
    async with parent.working():
        await parent.all_work()
        assert parent.polls() == 3
        assert parent.sample("bursar_members", "running") == 3
        assert parent.sample("bursar_members", "missing") == 0
    assert (parent.status, parent.polls()) == (0, 6)
    assert parent.sample("bursar_member_ends_total", "ended") == 0
    assert [len(parent.starts(number)) for number in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize(("status", "result"), [(2, 2), (3, 3), (6, 1)])
async def test_a_final_end_of_one_ends_all_with_its_status(
    tmp_path: Path, status: int, result: int
) -> None:
    body = f"report()\nif number == 2:\n    sys.exit({status})\nuntil_asked()\n"
    parent = Parent(tmp_path, body)
    async with asyncio.timeout(60):
        ended = await parent.supervisor.run(2, parent.stop, parent.limits)
    assert ended == result
    assert not parent.stop.is_set(), "nobody has asked for it"
    assert not any(is_alive(pid) for pid in (*parent.starts(1), *parent.starts(2)))


async def test_a_member_that_ends_is_started_again_and_no_counter_goes_back(tmp_path: Path) -> None:
    body = "report(5)\nif number == 2 and runs == 1:\n    sys.exit(1)\nuntil_asked()\n"
    parent = Parent(tmp_path, body)
    async with parent.working():
        await until(lambda: len(parent.starts(2)) == 2)
        await parent.all_work()
        assert parent.polls() == 15
        assert parent.sample("bursar_member_ends_total", "ended") == 1
        assert len(parent.starts(1)) == 1
    assert parent.status == 0


async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    body = """
if number == 2:
    os.kill(os.getpid(), signal.SIGKILL)
report(1, "silent")
until_asked()
"""
    parent = Parent(tmp_path, body)
    async with parent.working():

        def are_named() -> bool:
            problems = parent.problems()
            return str(problems["members"]).startswith("member 2 ended by SIGKILL, starts in") and (
                problems.get("kafka") == "member 1: silent"
            )

        await until(are_named)
        assert parent.sample("bursar_members", "missing") == 1
    assert parent.status == 0


async def test_a_member_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    body = """
report(5)
if number == 2 and runs == 1:
    signal.sigwait({signal.SIGUSR1})
until_asked()
"""
    parent = Parent(tmp_path, body, limits=Limits(STOP_SECONDS_MAX, 4, 1))
    async with parent.working():
        await until(lambda: len(parent.starts(2)) == 2)
        await parent.all_work()
        assert parent.sample("bursar_member_ends_total", "hung") == 1
        assert parent.polls() == 15
        assert len(parent.starts(1)) == 1
        assert not is_alive(parent.starts(2)[0])
    assert parent.status == 0


async def test_a_member_that_does_not_stop_is_killed_when_the_time_is_over(tmp_path: Path) -> None:
    body = "report()\nif number == 1:\n    signal.sigwait({signal.SIGUSR1})\nuntil_asked()\n"
    parent = Parent(tmp_path, body, limits=Limits(1, SILENT_SECONDS_MAX, 1))
    async with parent.working():
        await parent.all_work()
    assert parent.status == 1
    assert not any(is_alive(pid) for number in (1, 2) for pid in parent.starts(number))


async def test_an_error_of_the_parent_leaves_no_member(tmp_path: Path) -> None:
    body = "report()\nif number == 2:\n    parent.sendall(b'no report\\n')\nuntil_asked()\n"
    parent = Parent(tmp_path, body)
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with asyncio.timeout(60):
            await parent.supervisor.run(2, parent.stop, parent.limits)
    assert not any(map(is_alive, [*parent.starts(1), *parent.starts(2)]))


async def test_a_command_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    stop = asyncio.Event()
    supervisor = Supervisor(partial(running_child, [str(tmp_path / "none")]), Metrics())
    running = asyncio.create_task(
        supervisor.run(1, stop, Limits(STOP_SECONDS_MAX, SILENT_SECONDS_MAX, 1))
    )

    def is_named() -> bool:
        (finding,) = supervisor.findings()
        return str(finding.problem).startswith("member 1 ended with status 127, starts in")

    await until(is_named)
    stop.set()
    assert await running == 0
