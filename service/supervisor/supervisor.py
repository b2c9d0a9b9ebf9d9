"""The parent of several member processes: it starts them, starts those again that fail, and ends
all together.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from prometheus_client import Metric

from ..runtime.problems import describe
from ..runtime.readiness import Finding
from ..runtime.telemetry import Event, MemberEnd, Metrics, get_log
from ..runtime.waiting import wait_any
from .children import Child
from .reports import Report, merged_findings
from .roster import Order, Roster
from .sums import OF_PARENT, Sums

log = get_log(__name__)

TICK_MS = 1_000
NOT_STARTED = 127  # as a shell says of a command that it cannot start
Start = Callable[[int], AbstractAsyncContextManager[Child]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds: how long all members may take to stop, how long a member may be silent, and
    how long the consumer group waits for a member that was killed.
    """

    shutdown_seconds_max: int
    silent_seconds_max: int
    session_seconds: int


class Supervisor:
    """Keeps the member processes of a service working; `start` starts the member with a given
    number.

    `metrics` are the parent's own metrics about its members.
    """

    def __init__(self, start: Start, metrics: Metrics) -> None:
        self._start = start
        self._metrics = metrics
        for how in MemberEnd:
            metrics.add("member_ends", (how,), 0)
        self._roster = Roster(0, 0, 0)
        self._children: dict[int, Child] = {}
        self._reports: dict[int, Report] = {}
        self._of_ended = Sums()

    async def run(self, count: int, stop: asyncio.Event, limits: Limits) -> int:
        """Keeps the members 1 to `count` working until `stop` is set, or until one ends in a way
        that a new start would not mend; then ends all, and returns the exit status of the service.
        """
        self._roster = Roster(count, limits.silent_seconds_max, limits.session_seconds)
        try:
            async with asyncio.TaskGroup() as group:
                attending = await self._keep_working(group, stop)
                self._roster.stop()
                return await self._end(attending, limits.shutdown_seconds_max)
        finally:
            self.kill()

    async def _keep_working(
        self, group: asyncio.TaskGroup, stop: asyncio.Event
    ) -> set[asyncio.Task[None]]:
        """Returns the tasks of the members that have not ended."""
        attending: set[asyncio.Task[None]] = set()
        while not (stop.is_set() or self._roster.is_stopping):
            for order, number in self._roster.tick():
                if order is Order.START:
                    self._roster.started(number)
                    task = group.create_task(self._attend(number))
                    attending.add(task)
                    task.add_done_callback(attending.discard)
                else:
                    log.error(Event.MEMBER_HUNG, member=number)
                    self._children[number].kill()
            self._show()
            await wait_any((stop,), TICK_MS)
        return attending

    def kill(self) -> None:
        """Ends all members at once."""
        for child in self._children.values():
            child.kill()

    def findings(self) -> Iterable[Finding]:
        """Returns the findings of all members' readiness checks, and whether all members work."""
        problems = {number: member.problem for number, member in self._roster.members.items()}
        missing = {number: text for number, text in problems.items() if text is not None}
        return merged_findings(self._reports, missing)

    def collect(self) -> Iterable[Metric]:
        """Returns, for a scrape by Prometheus, the combined metrics of all members and the parent's
        own.
        """
        sums = self._of_ended.copy()
        for report in self._reports.values():
            sums.add(report.metrics)
        self._show()
        yield from (each for each in self._metrics.registry.collect() if each.name in OF_PARENT)
        yield from sums.families()

    def _show(self) -> None:
        running = len(self._roster.running)
        self._metrics.members.labels("running").set(running)
        self._metrics.members.labels("missing").set(len(self._roster.members) - running)

    async def _attend(self, number: int) -> None:
        """From the start of a member to its end."""
        try:
            async with self._start(number) as child:
                log.info(Event.MEMBER_STARTED, member=number, pid=child.pid)
                self._children[number] = child
                if self._roster.is_stopping:
                    child.terminate()
                await self._hear(number, child)
                status = await child.status()
        except OSError as problem:
            log.warning(Event.MEMBER_NOT_STARTED, member=number, problem=describe(problem))
            status = NOT_STARTED
        self._children.pop(number, None)
        if (last := self._reports.pop(number, None)) is not None:
            self._of_ended.add(last.metrics, has_ended=True)
        self._roster.ended(number, status)
        self._note_end(number, status)

    async def _hear(self, number: int, child: Child) -> None:
        async for report in child.reports():
            self._reports[number] = report
            self._roster.reported(number)

    def _note_end(self, number: int, status: int) -> None:
        member, is_stopping = self._roster.members[number], self._roster.is_stopping
        write = log.info if is_stopping and status == 0 else log.error
        again = None if is_stopping else member.wait_ticks
        write(Event.MEMBER_ENDED, member=number, status=status, starts_in_seconds=again)
        if not is_stopping:
            how = MemberEnd.HUNG if member.ended == MemberEnd.HUNG else MemberEnd.ENDED
            self._metrics.member_ends.labels(how).inc()

    async def _end(self, attending: set[asyncio.Task[None]], seconds_max: int) -> int:
        for child in self._children.values():
            child.terminate()
        log.info(Event.STOP_REQUESTED, seconds_max=seconds_max, members=len(self._children))
        if attending:
            _, late = await asyncio.wait(attending, timeout=seconds_max)
            if late:
                log.warning(Event.STOP_OVERDUE, members=sorted(self._children))
                self.kill()
                await asyncio.wait(late)
        return self._roster.status
