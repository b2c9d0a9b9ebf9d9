"""A stage for the rows of the fault matrix: processes, a mixed load, a fault, and the judges.

    async def test_...(stage: Stage) -> None:
        await stage.start("one", "two")

        async def fault() -> None:
            stage.row.count("SIGKILL")
            await stage.members["one"].kill()

        await stage.under_load(fault)

The load has two halves, each with the fault in its middle and an export behind it. A third of a
half is there when the fault begins, or more if the row wants more in flight; some comes meanwhile,
and a third comes after its end. The row notes what was in flight, and how long it took until there
was progress again. When all is applied and sent, the processes are stopped, and the independent
auditor and the model judge.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.faults.feeding import feed
from tests.faults.logs import check_logs
from tests.faults.members import PROGRAM, Member
from tests.faults.report import Row
from tests.faults.work import A_RECORD, Work, has_tables, holds, read_work
from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.support.load import Load
from tests.support.load_audit import auditor_verdicts, check_verdicts, compare_with_model
from tests.support.load_events import Event, Publisher, lines_of, take_all
from tests.support.load_export import export_all
from tests.support.load_rules import LUMP_PAYMENTS, profiles
from tests.support.process import Site
from tests.support.programs import ROOT

EVENTS = int(os.environ.get("BURSAR_FAULT_EVENTS", "900"))
PARTITIONS = 3
MANY_EVENTS, MANY_IN_FLIGHT = 3_600, 400  # of rows whose fault is in brokers or groups
SEED = 20
# Generous, for a loaded machine: how long it took is in the report.
PROGRESS_SECONDS_MAX = 150  # as docs/reliability.md states
PEAK_BYTES_MAX = 400 * 2**20
QUIET_SECONDS_MAX = 300
PIECE = 500  # of what is published until enough is in flight
POLL_SECONDS = 0.1
Fault = Callable[[], Awaitable[None]]


class Stage:
    """Topics, a database and processes of a row's own, with what the row reports."""

    def __init__(self, site: Site, row: Row, seed: int = SEED) -> None:
        self.site = site
        self.row = row
        self.in_flight_min = 0  # when a fault begins
        self.members: dict[str, Member] = {}
        self.load = Load(Random(seed))
        self.model = Model(settings=LUMP_PAYMENTS)
        self.publisher = Publisher(site.servers, site.prefix, PARTITIONS)

    async def prepare(self) -> None:
        """Profiles and topics; `start` does it where a row has not."""
        self.site.write_profiles(profiles())
        await self.site.command("topics", "create", "--partitions", str(PARTITIONS))

    async def start(
        self,
        *names: str,
        restart: bool = False,
        settings: Mapping[str, str] | None = None,
        module: str = PROGRAM,
        root: Path = ROOT,
        wait: bool = True,
    ) -> None:
        """Starts instances of the service, each of as many processes as the row has; the arguments
        are those of `Member` and its `start`.
        """
        if "BURSAR_PROFILES_FILE" not in self.site.settings:
            await self.prepare()
        of_row = {"BURSAR_PROCESSES": str(self.row.processes)} if self.row.processes > 1 else {}
        for name in names:
            member = Member(name, self.site, {**of_row, **(settings or {})}, restart, module, root)
            self.members[name] = member
            await member.start(wait=wait)

    async def under_load(
        self,
        fault: Fault,
        events: int = EVENTS,
        progress_seconds_max: float = PROGRESS_SECONDS_MAX,
        halves: int = 2,
    ) -> None:
        """Takes both halves of a load through the fault, or the first alone, and judges."""
        first = await asyncio.to_thread(self._half, lambda: self.load.first_half(events // 2))
        await self.pass_through(first, fault, progress_seconds_max)
        manifests = await self.export([])
        if halves == 1:
            await self.judge()
            return
        batches = {name: manifest for name, _, manifest in lines_of(manifests)}
        left = events - events // 2
        second = await asyncio.to_thread(
            self._half, lambda: self.load.second_half(left, self.model, batches)
        )
        await self.pass_through(second, fault, progress_seconds_max)
        await self.export(manifests)
        await self.judge()

    def _half(self, make: Callable[[], list[Event]]) -> list[Event]:
        """Made, and taken by the model, beside the loop, which may have proxies to run."""
        events = make()
        take_all(self.model, events)
        return events

    async def pass_through(
        self, events: list[Event], fault: Fault, progress_seconds_max: float
    ) -> None:
        """Publishes the events, of which the model knows, around a fault, until all is quiet."""
        first, third, over = len(events) // 3, len(events) // 3, asyncio.Event()
        await self.until(lambda: has_tables(self.site), PROGRESS_SECONDS_MAX)
        before = await self.work()
        await self.publish(events[:first])
        await self.until(lambda: self._has_grown(before), PROGRESS_SECONDS_MAX)
        while (in_flight := await self._in_flight()) < self.in_flight_min:
            assert first < 2 * third, f"{in_flight} in flight: too few events for this row"
            await self.publish(events[first : first + PIECE])
            first += PIECE
        self.row.in_flight.append(in_flight)
        feeding = asyncio.create_task(feed(self.publish, events[first : 2 * third], over))
        try:
            await fault()
            over.set()
            await self._progress(events[max(first, 2 * third) :], feeding, progress_seconds_max)
        finally:
            feeding.cancel()
        self.row.events += len(events)
        await self.until_quiet()

    async def _in_flight(self) -> int:
        """Records that are published and not applied, or queued and not acknowledged."""
        work = await self.work()
        return self.publisher.acknowledged - work.applied + work.queued

    def publish_to(self, partitions: int) -> None:
        """Spreads what is published from now on over so many partitions; all before is applied."""
        acknowledged = self.publisher.acknowledged
        self.publisher = Publisher(self.site.servers, self.site.prefix, partitions)
        self.publisher.acknowledged = acknowledged

    async def publish_unread(self, events: list[Event]) -> None:
        """Publishes the events while nothing runs that could take them; the model takes them."""
        await asyncio.to_thread(self._half, lambda: events)
        await self.publish(events)
        self.row.in_flight.append(len(events))
        self.row.events += len(events)

    async def take(self, events: list[Event]) -> None:
        """Publishes the events and waits until they are applied; the model takes them, too."""
        take_all(self.model, events)
        await self.publish(events)
        self.row.events += len(events)

        async def are_applied() -> bool:
            return (await self.work()).applied >= self.publisher.acknowledged

        await self.until(are_applied, QUIET_SECONDS_MAX)

    async def _progress(
        self, rest: list[Event], feeding: asyncio.Task[None], seconds_max: float
    ) -> None:
        """Notes how long it takes until records are applied and acknowledged again."""
        ended = time.monotonic()
        before = await self.work_when_reachable(seconds_max)
        await feeding
        await self.publish(rest)
        await self.until(lambda: self._has_grown(before, Work(1, 1, 0)), seconds_max)
        self.row.progress_seconds.append(round(time.monotonic() - ended, 1))

    async def publish(self, events: list[Event]) -> None:
        """Returns when all of them are acknowledged."""
        await asyncio.to_thread(self.publisher.put, events, QUIET_SECONDS_MAX)

    async def until_progress(self, seconds_max: float = PROGRESS_SECONDS_MAX) -> None:
        """A record is applied from now on, or there is none to apply."""
        before = await self.work_when_reachable(seconds_max)

        async def has_progress() -> bool:
            return await self._has_grown(before) or await self._is_quiet()

        await self.until(has_progress, seconds_max)

    async def export(self, before: list[Data]) -> list[Data]:
        """Exports what is due, and compares it with the model; returns the new manifests."""
        return await export_all(self.site, self.model, before, QUIET_SECONDS_MAX)

    async def until_quiet(self, seconds_max: float = QUIET_SECONDS_MAX) -> None:
        """All that was published is applied, and all there was to say is acknowledged."""
        await self.until(self._is_quiet, seconds_max)

    async def _is_quiet(self) -> bool:
        work = await self.work()
        return work.applied >= self.publisher.acknowledged and work.queued == 0

    async def judge(self) -> None:
        """Stops the processes, which must end well, and asks the auditor and the model."""
        for member in self.members.values():
            member.take_peak()
            if member.runs or member.restart:
                assert await member.stop() == 0, member.log.read_text("utf-8")[-2000:]
            await member.until_all_ended()
            self.row.restarts += len(member.ends)
        self.row.peak_bytes = max(member.peak_bytes for member in self.members.values())
        assert self.row.peak_bytes <= PEAK_BYTES_MAX
        check_logs(member.log for member in self.members.values())
        verdicts = await auditor_verdicts(self.site)
        self.row.judged = {each["invariant"]: each["holds"] for each in verdicts}
        check_verdicts(verdicts)
        self.row.judged["model"] = False
        await compare_with_model(self.site, self.model)
        self.row.judged["model"] = True

    async def work(self) -> Work:
        """How far the intake and the relay are. Raises one of UNREACHABLE."""
        return await read_work(self.site)

    async def work_when_reachable(self, seconds_max: float) -> Work:
        """The same, once the database can be asked."""
        result: list[Work] = []

        async def is_read() -> bool:
            result.append(await self.work())
            return True

        await self.until(is_read, seconds_max)
        return result[-1]

    async def _has_grown(self, before: Work, by: Work = A_RECORD) -> bool:
        now = await self.work()
        return (
            now.applied >= before.applied + by.applied
            and now.acknowledged >= before.acknowledged + by.acknowledged
        )

    async def lasts(self, seconds: float) -> None:
        """Lets a fault go on for so long; what runs must be alive all the time."""
        over = time.monotonic() + seconds

        async def is_over() -> bool:
            return time.monotonic() >= over

        await self.until(is_over, 2 * seconds)

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds_max: float) -> None:
        """Asks again and again; what runs, and is not started again, must be alive all the time.

        The seconds are counted by the questions and not by a clock, so that a loaded machine, on
        which everything takes longer, has more of them. Raises TimeoutError.
        """
        for _ in range(round(seconds_max / POLL_SECONDS)):
            if await holds(condition):
                return
            for member in self.members.values():
                member.check_alive()
                member.take_peak()
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"not within {seconds_max} s")

    async def close(self) -> None:
        """Ends all processes in any case."""
        for member in self.members.values():
            await member.close()
        await self.site.end_all()


@asynccontextmanager
async def staged(
    row: Row,
    database_url: str,
    servers: str,
    folder: Path,
    prefix: str | None = None,
    seed: int = SEED,
) -> AsyncIterator[Stage]:
    """A stage on these servers; its topics stay, unless the caller deletes those of the prefix."""
    mark = uuid.uuid4().hex[:8]
    site = Site(database_url, servers, prefix or f"t{mark}.", f"g{mark}", folder)
    stage = Stage(site, row, seed)
    try:
        yield stage
    finally:
        await stage.close()
