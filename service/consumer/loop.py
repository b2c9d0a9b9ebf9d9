"""The loop of the intake: takes polls of records from Kafka, and applies each in one database
commit together with its offsets.

The offsets in the database, and not those in Kafka, decide which record is read next. After any
failure the consumer goes back to the offsets in the database, so that no record is skipped, and
none that was committed is applied again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, zip_longest
from typing import Protocol

from aiokafka import TopicPartition

from ..apply.isolation import Record, is_too_much, unread
from ..apply.poll import Poll, Report
from ..apply.tally import Sources
from ..core.events import Incoming, Rejection
from ..core.ledger import Origin
from ..database.session import INLINE_RECORDS_MAX
from ..kafka.clients import KafkaUnavailable
from ..restore.guard import Guard
from ..runtime.failures import DATABASE_FAILURES, INTAKE_RETRIES, ConsumerLost, Fenced
from ..runtime.telemetry import Event, Metrics, get_log, observe_since
from ..runtime.waiting import Backoff, unless_set, wait_any
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from .ahead import Ahead
from .commits import Commits
from .contact import Contact
from .group import IntakePauses, Source
from .halves import are_apart, ends_of, results_of
from .joining import join
from .membership import Member
from .metrics import RejectionAlarm, count_applied
from .pace import SESSION_SHARE, PollSize
from .readiness import group_problem, show_partitions, topics_problem
from .rights import MissingRight

RECORD_OVERHEAD_BYTES = 64
Parse = Callable[[str, Origin], Incoming | Rejection]

log = get_log(__name__)


class Applies(Protocol):
    """The only method of the write path that the intake calls."""

    async def apply(self, poll: Poll) -> Report:
        """Applies a poll together with its offsets, in one commit or several. Raises Fenced if
        another process has taken over one of the poll's partitions.
        """


class Intake:
    """Reads the input topics as a member of the consumer group and applies their records. While
    there is a backlog, the next two polls are taken and parsed meanwhile; with a `second` write
    path, two polls of different partitions are applied at the same time. The Kafka client fetches
    records in advance, up to a limit in bytes. The caller has to run `contact.run`, which notices
    whether the brokers answer, at the same time as `run`.
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
        second: Applies | None = None,
    ) -> None:
        self._guard = guard
        self._access = access
        self._source = source
        self._parse = parse
        self._appliers = (applier,) if second is None else (applier, second)
        self._turns = count()
        self._limits = limits or IntakeLimits()
        self._pauses = pauses or IntakePauses()
        self._metrics = metrics or Metrics()
        target_ms = self._limits.kafka_session_timeout_ms // SESSION_SHARE
        self._size = PollSize(self._limits.poll_records_max, target_ms)
        self._alarm = RejectionAlarm(self._metrics, self._limits.rejected_in_a_row_alarm_records)
        self.contact = Contact(
            source.contracts, self._metrics, self._limits.kafka_silence_seconds_max
        )
        self.commits = Commits()
        self.sources = Sources()
        self._backoff = Backoff(self._pauses.backoff_first_ms, self._pauses.backoff_ms_max)
        self._member: Member | None = None
        self._ahead: Ahead[Sequence[Record]] = Ahead()
        # What this process has committed: a database that says less is an older one.
        self._committed: dict[TopicPartition, int] = {}
        self._stop = asyncio.Event()
        self._missing_right = MissingRight(self.contact)
        self._show(None)

    @property
    def partitions(self) -> int:
        """The number of partitions that are assigned to this process."""
        return 0 if self._member is None else len(self._member.group.assigned)

    def problem(self) -> str | None:
        """Returns why the intake gets no records, or not of all topics; None if it is ready."""
        if self._member is None or not self._member.group.has_joined:
            return self.group_problem()
        return self.topics_problem() or self.group_problem()

    def group_problem(self) -> str | None:
        """Returns why this process gets no records from the consumer group; else None. A process
        gets no records if it has not joined the group, has no partition, or has not loaded its
        offsets from the database.
        """
        return group_problem(self._member, self._missing_right.text)

    def topics_problem(self) -> str | None:
        """Returns which input topics are not read completely, and why; None if all are."""
        return topics_problem(self._member, self._missing_right.text, self.contact)

    async def run(self, stop: asyncio.Event) -> None:
        """Reads and applies polls until `stop` is set; a poll that is being applied then is
        finished first. Raises OperatorError for a failure that an operator has to resolve; tries
        again after others.
        """
        self._stop = stop
        try:
            while not stop.is_set():
                await self._turn()
        finally:
            await self.close()

    async def run_once(self) -> int:
        """Takes records from Kafka once and applies them; returns how many were applied. Raises
        OlderDatabase, OtherHistory or RecordsGone, which an operator has to resolve. After an error
        in INTAKE_RETRIES, the next call loads the offsets again.
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
                await self._ahead.drop()
                await member.load(self._stop, self._committed)
                self._show(member)
                if member.is_loaded:
                    log.info(Event.OFFSETS_RELOADED, partitions=self.partitions)
            taken = await (self._ahead.take() or self._take(member))
            member.coverage.update()
            self._show(member)
            return await self._apply(member, taken)
        except BaseException:
            if member is not None:  # the position may have moved further than the database
                member.group.changed.set()
            raise

    async def close(self) -> None:
        """Leaves the group in a limited time; other members read again what was not applied."""
        await self._ahead.drop()
        if self._member is not None:
            member, self._member = self._member, None
            self.contact.attach(None)
            await member.close()
        self._show(None)

    async def _turn(self) -> None:
        try:
            self.commits.succeeded(await self.run_once())
        except Fenced:
            self._size.failed()
            self._metrics.polls.labels("fenced").inc()
            log.warning(Event.POLL_FENCED)
            await wait_any((self._stop,), self._backoff.next_ms())
        except INTAKE_RETRIES as problem:
            self._metrics.polls.labels("failed").inc()
            log.warning(Event.INTAKE_RETRIES, exc_info=problem)
            if isinstance(problem, DATABASE_FAILURES):
                self.commits.failed(problem)
            self._missing_right.note(problem)
            if is_too_much(problem):
                self._size.failed()
            if isinstance(problem, ConsumerLost | KafkaUnavailable):
                await self.close()
            await wait_any((self._stop,), self._backoff.next_ms())
        else:
            self._missing_right.text = None
            self._backoff.reset()

    async def _take(self, member: Member, turn: int | None = None) -> Sequence[Record]:
        return await self._read(await member.take(self._stop, self._size.records, turn))

    async def _take_half(self, member: Member) -> Sequence[Record]:
        return await self._take(member, next(self._turns))

    async def _read(self, origins: Sequence[Origin]) -> Sequence[Record]:
        """Parses the records; many of them in a thread, so that heartbeats to Kafka go on."""
        if len(origins) <= INLINE_RECORDS_MAX:
            return tuple(map(self._read_record, origins))
        return await asyncio.to_thread(lambda: tuple(map(self._read_record, origins)))

    async def _apply(self, member: Member, taken: Sequence[Record]) -> int:
        """Poll by poll below the byte limit; after a change or a stop the rest is read again."""

        def is_followed(last: Sequence[Record]) -> bool:
            return member.can_take_ahead and self._size.is_of_backlog(len(last))

        def goes_beside(others: Sequence[Record]) -> bool:
            return len(self._appliers) > 1 and are_apart(taken, others)

        self._ahead.go_on(is_followed(taken), lambda: self._take_half(member), is_followed)
        beside = self._ahead.take_ended(goes_beside)
        parts = (polls(each, self._limits.poll_bytes_max) for each in (taken, beside or ()))
        applied = 0
        for together in zip_longest(*parts, fillvalue=()):
            if applied and (member.group.changed.is_set() or self._stop.is_set()):
                break
            applied += await self._apply_together(member, together)
        return applied

    async def _apply_together(self, member: Member, parts: Iterable[Sequence[Record]]) -> int:
        """Applies polls of disjoint partitions, each in a transaction of its own."""
        started_ns = time.monotonic_ns()
        together = [
            Poll(tuple(records), member.assignments_of(records), member.suspects)
            for part in parts
            if (records := member.without_held(part))
        ]
        works = zip(self._appliers, together, strict=False)
        reports = await results_of(*(applier.apply(poll) for applier, poll in works))
        for report in reports:
            self._committed |= ends_of(report)
            member.advance(report.assignments)
        if any(report.held for report in reports) and await self._ahead.drop():
            member.go_back()
        return sum(
            self._note(member, poll, report, started_ns)
            for poll, report in zip(together, reports, strict=True)
        )

    def _note(self, member: Member, poll: Poll, report: Report, started_ns: int) -> int:
        """Notes what became of a poll; returns how many of its records were applied."""
        member.hold(poll.records, report.held)
        ends = ends_of(report)  # what is left in the partitions that are held does not count
        places = [record.origin for record in poll.records]
        read = Counter([at.topic for at in places if not report.held or at.offset < ends[at[:2]]])
        self._count(read, report, started_ns)
        self.sources.note(poll.senders(self._source.contracts))
        return read.total()

    def _show(self, member: Member | None) -> None:
        show_partitions(self._metrics, self._source.contracts, member)
        self._metrics.poll_size.set(self._size.records)

    def _read_record(self, origin: Origin) -> Record:
        """Parses a record; a record on which the program fails is parked, and no other one."""
        contract = self._source.contracts[origin.topic]
        try:
            return self._parse(contract, origin)
        except Exception as problem:  # noqa: BLE001 - the record is parked, with its bytes
            return unread(contract, origin, problem)

    def _count(self, read: Counter[str], report: Report, started_ns: int) -> None:
        """Counts a poll; `read` are its records by topic, without those that were not applied."""
        now_ns = time.monotonic_ns()
        milliseconds = (now_ns - started_ns) // 1_000_000
        self._size.applied(read.total(), milliseconds, report.held.values())
        observe_since(self._metrics.poll_seconds, started_ns)
        count_applied(self._metrics, read, report.outcomes)
        self._alarm.note(read, report.rejected, now_ns // 1_000_000)


def polls(records: Iterable[Record], bytes_max: int) -> Iterator[list[Record]]:
    """Divides `records` into polls of up to `bytes_max` bytes; a larger record has its own."""
    poll: list[Record] = []
    poll_bytes = 0
    for record in records:
        size = size_of(record.origin)
        if poll and poll_bytes + size > bytes_max:
            yield poll
            poll, poll_bytes = [], 0
        poll.append(record)
        poll_bytes += size
    if poll:
        yield poll


def size_of(record: Origin) -> int:
    """Returns about how many bytes the record takes in memory."""
    headers = sum(map(len, chain.from_iterable(record.headers)))
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD_BYTES
