"""Kafka in: polls of records, each applied in one commit together with its offsets.

The truth about what was read is in the database. Whatever fails, the offsets are loaded from there
again and the consumer is sent back to them: nothing is skipped, and a repeat is recognised as one.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from aiokafka import TopicPartition

from ..apply.isolation import UNKNOWN, is_too_much, name_of
from ..apply.poll import Poll, Report
from ..apply.sources import Sources
from ..core.events import FailedRecord, Incoming, Rejection
from ..core.ledger import Origin
from ..database.session import INLINE_RECORDS_MAX
from ..kafka.clients import KafkaUnavailable
from ..messages.decode import changed_fine_in, institution_in
from ..restore.guard import Guard
from ..runtime.failures import INTAKE_RETRIES, ConsumerLost, Fenced
from ..runtime.problems import describe
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import Backoff, unless_set, wait_any
from ..settings import IntakeLimits, KafkaAccess
from .contact import Contact
from .limits import IntakePauses, Parse, Source
from .membership import Member, join
from .poll_size import SESSION_SHARE, PollSize
from .records import polls
from .rejections import Rejections

log = get_log(__name__)


class Applies(Protocol):
    """The write path: one commit for one poll. Raises Fenced."""

    async def apply(self, poll: Poll) -> Report: ...


class Intake:
    """Back-pressure is not asking for more; beyond that the client holds a bounded prefetch."""

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
        alarm_records = self._limits.rejected_in_a_row_alarm_records
        self._rejections = Rejections(self._metrics, alarm_records)
        self.contact = Contact(
            source.contracts, self._metrics, self._limits.kafka_silence_seconds_max
        )
        self.sources = Sources(source.contracts)
        self._backoff = Backoff(self._pauses.backoff_first_ms, self._pauses.backoff_ms_max)
        self._member: Member | None = None
        # What this process has committed: a database that says less is an older one.
        self._committed: dict[TopicPartition, int] = {}
        self._stop = asyncio.Event()

    @property
    def partitions(self) -> int:
        """How many are assigned."""
        return 0 if self._member is None else len(self._member.membership.assigned)

    def problem(self) -> str | None:
        """Why it is not ready; None when it is."""
        if self._member is None or not self._member.membership.has_joined:
            return self.group_problem()
        return self.topics_problem() or self.group_problem()

    def group_problem(self) -> str | None:
        """Why no records come at all."""
        if self._member is None:
            return "not in the consumer group"
        return self._member.problem()

    def topics_problem(self) -> str | None:
        """Why records do not come from all of the input topics."""
        if self._member is None:
            return None
        return self._member.topics_problem() or self.contact.unread_problem()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the poll in hand is finished. Raises OperatorError for what needs one."""
        self._stop = stop
        try:
            while not stop.is_set():
                await self._turn()
        finally:
            await self.close()

    async def run_once(self) -> int:
        """One look at Kafka: takes records and applies them. The number of records applied.

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
            if member.membership.changed.is_set():
                await self._load(member)
            taken = await member.take(self._stop, self._size.records)
            member.look_at_group()
            self._show(member)
            return await self._apply(member, taken)
        except BaseException:
            if member is not None:  # the position may have moved further than the database
                member.membership.changed.set()
            raise

    async def close(self) -> None:
        """Leaves the group, within a bound; what was not applied is read again by whoever comes."""
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

    async def _load(self, member: Member) -> None:
        await member.load(self._stop, self._committed)
        self._show(member)
        if member.is_loaded:
            log.info(Event.OFFSETS_RELOADED, partitions=self.partitions)

    async def _apply(self, member: Member, taken: Sequence[Origin]) -> int:
        """Poll by poll below the byte limit; after a change or a stop the rest is read again."""
        applied = 0
        for taken_together in polls(taken, self._limits.poll_bytes_max):
            if applied and (member.membership.changed.is_set() or self._stop.is_set()):
                break
            if not (poll := member.without_held(taken_together)):
                continue
            started_ns = time.monotonic_ns()
            records = await self._read(poll)
            assignments = member.assignments_of(poll)
            report = await self._applier.apply(Poll(records, assignments, member.suspects))
            for assignment in report.assignments:
                self._committed[TopicPartition(assignment.topic, assignment.partition)] = (
                    assignment.next_offset
                )
            member.advance(report.assignments)
            member.hold(poll, report.held)
            poll = _applied(poll, report)
            self._count(poll, report, started_ns)
            self.sources.note(records)
            applied += len(poll)
        return applied

    def _show(self, member: Member | None) -> None:
        """Every topic has its gauges, also one that nothing is read of here."""
        assigned = member.membership.assigned if member is not None else frozenset()
        counts = Counter(at.topic for at in assigned)
        self._metrics.partitions.set(len(assigned))
        self._metrics.partitions_held.set(0 if member is None else len(member.suspects))
        for topic in self._source.contracts:
            self._metrics.topic_partitions.labels(topic).set(counts[topic])

    async def _read(
        self, poll: Sequence[Origin]
    ) -> tuple[Incoming | Rejection | FailedRecord, ...]:
        """Many of them in a thread: heartbeats to Kafka go on meanwhile."""
        if len(poll) <= INLINE_RECORDS_MAX:
            return tuple(map(self._read_one, poll))
        return await asyncio.to_thread(lambda: tuple(map(self._read_one, poll)))

    def _read_one(self, origin: Origin) -> Incoming | Rejection | FailedRecord:
        """A record on which the reading itself fails is parked; the others are none of its."""
        contract = self._source.contracts[origin.topic]
        try:
            return self._parse(contract, origin)
        except Exception as problem:  # noqa: BLE001 - the record is parked, with its bytes
            log.warning(Event.POLL_FAILED, records=1, problem=describe(problem))
            institution_id = institution_in(origin.value) or UNKNOWN
            fine_id = changed_fine_in(contract, origin.value)
            return FailedRecord(origin, institution_id, name_of(problem), fine_id)

    def _count(self, poll: Sequence[Origin], report: Report, started_ns: int) -> None:
        metrics = self._metrics
        metrics.polls.labels("applied").inc()
        metrics.poll_records.observe(len(poll))
        self._resize(len(poll), report, (time.monotonic_ns() - started_ns) // 1_000_000)
        metrics.poll_size.set(self._size.records)
        observe_since(metrics.poll_seconds, started_ns)
        read = Counter(origin.topic for origin in poll)
        for topic, count in read.items():
            metrics.records.labels(topic).inc(count)
        self._rejections.note(read, report.rejected, time.monotonic_ns() // 1_000_000)
        for outcome, count in report.outcomes.items():
            if not outcome.startswith("unparked:"):  # a record of an earlier poll
                metrics.outcomes.labels(outcome).inc(count)

    def _resize(self, records: int, report: Report, milliseconds: int) -> None:
        """Fewer records do not make a rival's lock shorter: waiting for one says nothing."""
        if any(is_too_much(held.error) for held in report.held.values()):
            self._size.failed()
        elif not report.held:
            self._size.took(records, milliseconds)


def _applied(poll: Sequence[Origin], report: Report) -> list[Origin]:
    """Without what is left in partitions that are held."""
    ends = {
        (assignment.topic, assignment.partition): assignment.next_offset
        for assignment in report.assignments
    }
    return [record for record in poll if record.offset < ends[record[:2]]]
