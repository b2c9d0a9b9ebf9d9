"""A backlog of wide fines, and the memory and disk that it takes while it is worked off.

backlog = Backlog(stage, count)
await backlog.put()
await stage.start("one")
await backlog.until_sent()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from tests.bench.ledgers import BALANCES
from tests.bench.load import FINE, PROFILES, Record, fines
from tests.bench.soundness import require_sound_ledger
from tests.faults.logs import check_logs
from tests.faults.stage import PEAK_BYTES_MAX, Stage
from tests.faults.work import read_work
from tests.support.load_events import EVENTS_AT_ONCE, Event
from tests.support.topics import end_offsets

PARTITIONS = 6
SECONDS_MIN = 120  # without a record that was applied or sent
RECORDS_A_SECOND_MIN = 200
MB = 2**20
GROWTH_BYTES_MAX = 100 * MB  # of a million fines, which have 1 000 MB
AUDITED_MAX = 100_000  # the auditor holds all records in memory
OUTBOX = (
    "SELECT coalesce(sum(pg_column_size(keys) + pg_column_size(payloads)"
    " + pg_column_size(headers)), 0)::bigint AS waiting,"
    " pg_total_relation_size('outbox') AS disk FROM outbox"
)


class Sample(NamedTuple):
    """How far the service is, and what it takes: the process with the most memory, the records
    and bytes of the outbox that wait, and the size of its table with what is deleted.
    """

    applied: int
    sent: int
    peak_bytes: int
    resident_bytes: int
    waiting_bytes: int
    table_bytes: int

    @property
    def waiting(self) -> int:
        """Records in the outbox, about: a fine has a single event."""
        return max(0, self.applied - self.sent)


class Backlog:
    """So many fines, which wait in Kafka before the service starts, and the samples taken since."""

    def __init__(self, stage: Stage, count: int) -> None:
        self.stage = stage
        self.count = count
        self.samples: list[Sample] = []
        self._pids: set[int] = set()

    async def put(self) -> None:
        """Makes the topics and publishes the fines, piece by piece."""
        self.stage.site.write_profiles(PROFILES)
        await self.stage.site.command("topics", "create", "--partitions", str(PARTITIONS))
        self.stage.publish_to(PARTITIONS)
        events = map(_event, fines(self.count))
        while piece := await asyncio.to_thread(lambda: list(islice(events, EVENTS_AT_ONCE))):
            await self.stage.publish(piece)
        self.stage.row.events += self.count
        self.stage.row.in_flight.append(self.count)

    async def until_applied(self, count: int) -> None:
        """So many fines are in the ledger."""
        await self._until(lambda sample: sample.applied >= count)

    async def until_sent(self, count: int | None = None) -> None:
        """So many events are sent; all of them unless it is said."""
        await self._until(lambda sample: sample.sent >= (self.count if count is None else count))

    async def sample(self) -> Sample:
        """As things are now; it is kept."""
        work = await read_work(self.stage.site)
        (row,) = await self.stage.site.rows(OUTBOX)
        memory = [each for member in self.stage.members.values() for each in member.memory()]
        self._pids |= self._running()
        sample = Sample(
            work.applied,
            work.acknowledged,
            max(each.peak_bytes for each in memory),
            max(each.resident_bytes for each in memory),
            *(int(str(value)) for value in row.values()),
        )
        self.samples.append(sample)
        return sample

    async def finish(self, after_share: float = 0.1) -> None:
        """Stops the instances, which must end well, and judges: the auditor has no finding, every
        event is there, no process took too much or was replaced, and what it took did not grow
        after this share of the fines.
        """
        row, site = self.stage.row, self.stage.site
        assert self._pids == self._running(), "a process was replaced, and with it its peak"
        for member in self.stage.members.values():
            assert await member.stop() == 0, member.log.read_text("utf-8")[-2000:]
            row.restarts += len(member.ends)
        check_logs(member.log for member in self.stage.members.values())
        row.peak_bytes = max(sample.peak_bytes for sample in self.samples)
        print(self.summary(after_share))
        ends = await asyncio.to_thread(end_offsets, site.servers, site.topic(BALANCES))
        assert sum(ends.values()) == self.count
        if self.count <= AUDITED_MAX:
            await require_sound_ledger(site.database_url, site.servers, site.prefix, self.count)
            row.judged["auditor"] = True
        assert row.peak_bytes <= PEAK_BYTES_MAX
        assert self.growth_bytes(after_share) <= GROWTH_BYTES_MAX

    def require_waiting(self) -> None:
        """A fault that comes now meets a part of the backlog."""
        assert self.samples[-1].sent < self.count

    def growth_bytes(self, after_share: float) -> int:
        """How much the peak has grown since this share of the fines was applied."""
        first = next(each for each in self.samples if each.applied >= self.count * after_share)
        return self.samples[-1].peak_bytes - first.peak_bytes

    def summary(self, after_share: float) -> str:
        """For the reader of the test's output."""
        last, waiting = self.samples[-1], sorted(each.waiting_bytes for each in self.samples)
        table_bytes = max(each.table_bytes for each in self.samples)
        memory = (
            f"peak {last.peak_bytes / MB:.0f} MB, of which"
            f" {self.growth_bytes(after_share) / MB:.0f} MB came after {after_share:.0%};"
            f" {last.resident_bytes / MB:.0f} MB at the end"
        )
        outbox = (
            f"at most {max(each.waiting for each in self.samples)} records and"
            f" {waiting[-1] / MB:.1f} MB, median {waiting[len(waiting) // 2] / MB:.1f} MB; its"
            f" table {table_bytes / MB:.0f} MB; {len(self.samples)} samples"
        )
        return f"backlog of {self.count} fines: {memory}. Outbox: {outbox}."

    def _running(self) -> set[int]:
        """The instances and their children that run now."""
        members = self.stage.members.values()
        return {pid for each in members for pid in (each.pid, *(it.pid for it in each.children))}

    async def _until(self, holds: Callable[[Sample], bool]) -> None:
        async def sampled() -> bool:
            return holds(await self.sample())

        await self.stage.until(sampled, SECONDS_MIN + self.count / RECORDS_A_SECOND_MIN)


def _event(record: Record) -> Event:
    return Event(FINE, record.key.decode(), None, record.value, headers=record.headers)
