"""Reads Kafka: each poll of records is applied in one commit together with its offsets.

The offsets in the database decide what has been read. After any failure the offsets are loaded from
the database again and the consumer seeks to them, so that no record is skipped; a record that is
read twice is recognised as a repeat.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from aiokafka import TopicPartition

from ..apply.isolation import is_too_much, unread
from ..apply.poll import Poll, Report
from ..apply.tally import Sources
from ..core.events import FailedRecord, Incoming, Rejection
from ..core.ledger import Origin
from ..database.session import INLINE_RECORDS_MAX
from ..kafka.clients import KafkaUnavailable
from ..restore.guard import Guard
from ..runtime.failures import INTAKE_RETRIES, ConsumerLost, Fenced
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import Backoff, unless_set, wait_any
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from .contact import Contact
from .group import IntakePauses, Source
from .membership import Member, join
from .metrics import RejectionAlarm
from .pace import SESSION_SHARE, PollSize

RECORD_OVERHEAD_BYTES = 64

Parse = Callable[[str, Origin], Incoming | Rejection]

log = get_log(__name__)


class Applies(Protocol):
    """The write path as the intake uses it: applies a poll in one commit. Raises Fenced if another
    process owns a partition.
    """

    async def apply(self, poll: Poll) -> Report:
        """Applies a poll in one commit. Raises Fenced if a partition has another owner."""


class Intake:
    """Reads the input topics as a member of the consumer group and applies their records.

    Records are not requested while a poll is applied; the client prefetches a bounded number of
    bytes. `contact.run` has to run beside `run`; it notices whether the brokers answer.
    """

    def __init__(
        self,
        guard: Guard,
        access: KafkaAccess,
        source: Source,
        parse: Parse,
        applier: Applies,
        limits: IntakeLimits | None = None,
        metrics: Metrics | None = None,
        pauses: IntakePauses | None = None,
    ) -> None:
        self._guard = guard
        self._access = access
        self._source = source
        self._parse = parse
        self._applier = applier
        self._limits = limits or IntakeLimits()
        self._pauses = pauses or IntakePauses()
        self._metrics = metrics or Metrics()
        target_ms = self._limits.kafka_session_timeout_ms // SESSION_SHARE
        self._size = PollSize(self._limits.poll_records_max, target_ms)
        self._alarm = RejectionAlarm(self._metrics, self._limits.rejected_in_a_row_alarm_records)
        self.contact = Contact(
            source.contracts, self._metrics, self._limits.kafka_silence_seconds_max
        )
        self.sources = Sources()
        self._backoff = Backoff(self._pauses.backoff_first_ms, self._pauses.backoff_ms_max)
        self._member: Member | None = None
        # What this process has committed: a database that says less is an older one.
        self._committed: dict[TopicPartition, int] = {}
        self._stop = asyncio.Event()
        self._show(None)

    @property
    def partitions(self) -> int:
        """The number of partitions that are assigned to this process."""
        return 0 if self._member is None else len(self._member.group.assigned)

    def problem(self) -> str | None:
        """A sentence that says why the intake is not ready; None if it is ready."""
        if self._member is None or not self._member.group.has_joined:
            return self.group_problem()
        return self.topics_problem() or self.group_problem()

    def group_problem(self) -> str | None:
        """A sentence that says why this member of the consumer group gets no records, or None.

        The reasons are that it has not joined, has no partition, or its offsets are not loaded.
        """
        return "not in the consumer group" if self._member is None else self._member.problem()

    def topics_problem(self) -> str | None:
        """A sentence that says why a member of the group does not get records of all input topics;
        None if it does, or if this process is no member.
        """
        if self._member is None:
            return None
        if not self._member.group.has_joined:
            return self.contact.unread_problem()
        return self._member.coverage.problem() or self.contact.unread_problem()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads and applies polls until `stop` is set; the current poll is finished. Raises
        OperatorError if a person has to act.
        """
        self._stop = stop
        try:
            while not stop.is_set():
                await self._turn()
        finally:
            await self.close()

    async def run_once(self) -> int:
        """Takes records from Kafka and applies them; returns how many were applied.

        Raises OlderDatabase, OtherHistory, RecordsGone; and INTAKE_RETRIES, after which the next
        call loads the offsets again.
        """
        member = self._member
        try:
            if member is None:
                joining = join(self._access, self._guard, self._source, self._limits, self._pauses)
                self._member = member = await unless_set(joining, self._stop)
                if member is None:
                    return 0
                self.contact.attach(member)
            if member.group.changed.is_set():
                await member.load(self._stop, self._committed)
                self._show(member)
                if member.is_loaded:
                    log.info(Event.OFFSETS_RELOADED, partitions=self.partitions)
            taken = await member.take(self._stop, self._size.records)
            member.coverage.update()
            self._show(member)
            return await self._apply(member, taken)
        except BaseException:
            if member is not None:  # the position may have moved further than the database
                member.group.changed.set()
            raise

    async def close(self) -> None:
        """Leaves the group within a limited time. Other members read again what was not applied."""
        if self._member is not None:
            member, self._member = self._member, None
            self.contact.attach(None)
            await member.close()
        self._show(None)

    async def _turn(self) -> None:
        try:
            await self.run_once()
        except Fenced:
            self._size.failed()
            self._metrics.polls.labels("fenced").inc()
            log.warning(Event.POLL_FENCED)
            await wait_any((self._stop,), self._backoff.next_ms())
        except INTAKE_RETRIES as problem:
            self._metrics.polls.labels("failed").inc()
            log.warning(Event.INTAKE_RETRIES, exc_info=problem)
            if is_too_much(problem):
                self._size.failed()
            if isinstance(problem, ConsumerLost | KafkaUnavailable):
                await self.close()
            await wait_any((self._stop,), self._backoff.next_ms())
        else:
            self._backoff.reset()

    async def _apply(self, member: Member, taken: Sequence[Origin]) -> int:
        """Poll by poll below the byte limit; after a change or a stop the rest is read again."""
        applied = 0
        for taken_together in polls(taken, self._limits.poll_bytes_max):
            if applied and (member.group.changed.is_set() or self._stop.is_set()):
                break
            if not (origins := member.without_held(taken_together)):
                continue
            started_ns = time.monotonic_ns()
            poll = Poll(await self._read(origins), member.assignments_of(origins), member.suspects)
            report = await self._applier.apply(poll)
            ends = {
                TopicPartition(row.topic, row.partition): row.next_offset
                for row in report.assignments
            }
            self._committed |= ends
            member.advance(report.assignments)
            member.hold(origins, report.held)
            # Without what is left in partitions that are held.
            read = Counter(r.topic for r in origins if r.offset < ends[r[:2]])
            self._count(read, report, started_ns)
            self.sources.note(poll.senders(self._source.contracts))
            applied += read.total()
        return applied

    def _show(self, member: Member | None) -> None:
        """Every topic has its gauges, also one that nothing is read of here."""
        assigned = member.group.assigned if member is not None else frozenset()
        counts = Counter(at.topic for at in assigned)
        self._metrics.poll_size.set(self._size.records)
        self._metrics.partitions.set(len(assigned))
        self._metrics.partitions_held.set(0 if member is None else len(member.suspects))
        for topic in self._source.contracts:
            self._metrics.topic_partitions.labels(topic).set(counts[topic])

    async def _read(
        self, poll: Sequence[Origin]
    ) -> tuple[Incoming | Rejection | FailedRecord, ...]:
        """Parses the poll; many records in a thread, so that heartbeats to Kafka go on."""
        if len(poll) <= INLINE_RECORDS_MAX:
            return tuple(map(self._read_record, poll))
        return await asyncio.to_thread(lambda: tuple(map(self._read_record, poll)))

    def _read_record(self, origin: Origin) -> Incoming | Rejection | FailedRecord:
        """Parses a record; a record on which the program fails is parked, and no other one."""
        contract = self._source.contracts[origin.topic]
        try:
            return self._parse(contract, origin)
        except Exception as problem:  # noqa: BLE001 - the record is parked, with its bytes
            return unread(contract, origin, problem)

    def _count(self, read: Counter[str], report: Report, started_ns: int) -> None:
        """Counts a poll; `read` are its records by topic, without those that were not applied."""
        metrics = self._metrics
        metrics.polls.labels("applied").inc()
        metrics.poll_records.observe(read.total())
        self._resize(read.total(), report, (time.monotonic_ns() - started_ns) // 1_000_000)
        observe_since(metrics.poll_seconds, started_ns)
        for topic, count in read.items():
            metrics.records.labels(topic).inc(count)
        self._alarm.note(read, report.rejected, time.monotonic_ns() // 1_000_000)
        for outcome, count in report.outcomes.items():
            if not outcome.startswith("unparked:"):  # a record of an earlier poll
                metrics.outcomes.labels(outcome).inc(count)
            if outcome.startswith("repeat:"):
                log.info(Event.EVENT_REPEATED, outcome=outcome, records=count)

    def _resize(self, records: int, report: Report, milliseconds: int) -> None:
        """Adapts the size of the next poll, unless this one has waited for another session's lock.

        Fewer records do not make such a lock shorter.
        """
        if any(is_too_much(held.error) for held in report.held.values()):
            self._size.failed()
        elif not report.held:
            self._size.took(records, milliseconds)


def polls(records: Iterable[Origin], bytes_max: int) -> Iterator[list[Origin]]:
    """Cuts `records` into polls of at most `bytes_max` bytes; a larger record is alone in one."""
    poll: list[Origin] = []
    poll_bytes = 0
    for record in records:
        size = size_of(record)
        if poll and poll_bytes + size > bytes_max:
            yield poll
            poll, poll_bytes = [], 0
        poll.append(record)
        poll_bytes += size
    if poll:
        yield poll


def size_of(record: Origin) -> int:
    """About how many bytes the record takes in memory."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD_BYTES
