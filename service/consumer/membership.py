"""A member of the consumer group: it loads the offsets of its partitions and takes records."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from ..apply.breaker import TopicsStopped
from ..apply.isolation import Record as ParsedRecord
from ..apply.poll import PartitionHold
from ..core.ledger import Origin
from ..database.offsets import Assignment, TopicAndPartition
from ..kafka.clients import STOP_SECONDS_MAX, close_client
from ..restore.guard import Guard
from ..restore.known import Record
from ..runtime.failures import ConsumerLost
from ..runtime.telemetry import Event, get_log
from ..runtime.waiting import unless_set
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from .again import ReadAgain
from .group import Coverage, GroupListener, IntakePauses, Source, end_of_reading
from .halves import take_half, taken_from
from .offsets import OffsetCommits, OffsetLoader, has_last_record
from .pace import Holds

LOAD_SECONDS_MAX = 15
FAULTS_IN_A_ROW_MAX = 10
HOLD_MS_MAX = 5_000  # until a partition whose next record alone is too much is tried again
STOP_MS = 2_000  # until it is asked again whether a topic is stopped

log = get_log(__name__)


class Member:
    """This process as a member of the consumer group, from joining to leaving. `is_loaded` says
    whether the offsets of its partitions were loaded from the database. Once `group.changed` is
    set, no records are taken until `load` was called again.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        access: KafkaAccess,
        guard: Guard,
        source: Source,
        limits: IntakeLimits,
        pauses: IntakePauses,
    ) -> None:
        self._consumer = consumer
        self._guard = guard
        self._limits = limits
        self._loader = OffsetLoader(guard, consumer, source, pauses)
        self._commits = OffsetCommits(consumer, pauses.commit_interval_ms)
        self._assignments: dict[TopicPartition, Assignment] = {}
        # Partitions whose first record after loading is still to be compared with the last one.
        self._unchecked: set[TopicPartition] = set()
        self._faults = 0
        self._holds = Holds(pauses.backoff_first_ms, HOLD_MS_MAX)
        self._stops = Holds(STOP_MS, STOP_MS)  # of partitions whose topic is stopped
        self._topics = tuple(source.contracts)
        self._again: ReadAgain | None = None  # while a recovery goes on
        self.is_loaded = False
        self.group = GroupListener(consumer)
        self.coverage = Coverage(consumer, self.group, access, source, pauses)

    def problem(self) -> str | None:
        """Returns why this process can take no records; None if it can take some."""
        if not self.group.assigned:
            return "no partition is assigned"
        return None if self.is_loaded else "the offsets are not loaded"

    async def load(self, stop: asyncio.Event, committed: Mapping[TopicPartition, int]) -> None:
        """Loads the offsets of the assigned partitions from the database and seeks to them; gives
        up if the assignment changes meanwhile. `committed` has the offsets that this process has
        committed to the database before. Raises OlderDatabase, OtherHistory, RecordsGone,
        ConsumerLost; and errors of a database or brokers that cannot be reached.
        """
        group = self.group
        self._assignments, self._unchecked, self.is_loaded, self._again = {}, set(), False, None
        group.changed.clear()
        if group.problem is not None:
            raise ConsumerLost("the assignment was not taken note of") from group.problem
        if not group.assigned:
            return
        self._consumer.pause(*group.assigned)
        self._commits.drop()
        # An instance that is gone may have written to, and lost, another database. However long the
        # answer takes, the heartbeats go on.
        if await unless_set(self._guard.ask(), stop, group.changed) is None:
            return
        work = asyncio.wait_for(self._loader.load(group.assigned, committed), LOAD_SECONDS_MAX)
        loaded = await unless_set(work, stop, group.changed)
        if loaded is not None and not group.changed.is_set():
            self._go_to(loaded.assignments)
            self._again = ReadAgain(loaded.marks, self._topics) if loaded.marks else None

    async def take(
        self, stop: asyncio.Event, records_max: int, turn: int | None = None
    ) -> list[Origin]:
        """Returns new records: partition by partition, or in the order of their timestamps while a
        restored database is recovered; with `turn` those of one half of the partitions, if they
        were fetched already. Returns none if there are none, if `stop` is set, or if the assignment
        changes. Raises KafkaError for an error that may pass, else ConsumerLost. After both the
        offsets have to be loaded again.
        """
        if self.is_loaded and not self.group.changed.is_set():
            self._resume_due(time.monotonic_ns())
        # In a rebalance the client ignores its own timeout: hence the race with the events.
        try:
            records = await unless_set(self._fetch(records_max, turn), stop, self.group.changed)
        except NoOffsetForPartitionError as problem:
            # Raised once for each partition that had no offset before the seek.
            self._count_fault(problem, len(self._assignments) + FAULTS_IN_A_ROW_MAX)
            return []
        except OffsetOutOfRangeError as problem:
            self._count_fault(problem, FAULTS_IN_A_ROW_MAX)
            raise  # loading tells what is wrong
        except TopicAuthorizationFailedError:
            raise  # heals by itself when the right is given back
        except (KafkaError, AttributeError) as problem:
            raise ConsumerLost(type(problem).__name__) from problem
        self._faults = 0
        if records is None or self.group.changed.is_set():
            return []
        origins = {at: list(map(origin_of, self._unread(at, r))) for at, r in records.items()}
        if self._again is None:
            return [origin for taken in origins.values() for origin in taken]
        for at, taken in records.items():
            self._again.put(at, origins[at], taken[-1].offset + 1)
        return self._again.take(records_max)

    async def _fetch(
        self, records_max: int, turn: int | None
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """New records of all partitions; while a recovery goes on, of those that hold up others."""
        needed: list[TopicPartition] = []
        if self._again is not None:
            assigned = self._consumer.assignment() - set(self._stops.partitions)  # no other waits
            places = [at for at in self._again.partitions if at in assigned]
            needed = self._again.needed({at: await self._consumer.position(at) for at in places})
            if self._again.is_over:
                self._again = None
            elif not needed:
                return {}
        elif turn is not None and (half := await take_half(self._consumer, turn, records_max)):
            return half
        wait_ms = self._limits.poll_wait_ms
        return await taken_from(self._consumer, needed, wait_ms, records_max)

    @property
    def can_take_ahead(self) -> bool:
        """Whether further records may be taken before the current poll is applied. No records may
        be taken ahead while a partition is held, a topic is stopped or a restored database is
        recovered: the outcome of the poll decides which records come next.
        """
        return self._again is None and not (self._holds.partitions or self._stops.partitions)

    def go_back(self) -> None:
        """Seeks back to the offsets in the database; records that were taken ahead were dropped."""
        assigned = self._consumer.assignment()  # what was taken away has to be loaded again
        self._go_to({at: row for at, row in self._assignments.items() if at in assigned})

    def assignments_of(self, records: Iterable[ParsedRecord]) -> tuple[Assignment, ...]:
        """Returns the offsets of the partitions from which the records were read."""
        places = sorted({record.origin[:2] for record in records})
        return tuple(self._assignments[TopicPartition(*place)] for place in places)

    def advance(self, assignments: Iterable[Assignment]) -> None:
        """Notes offsets that the database has committed, and commits them to Kafka later."""
        for assignment in assignments:
            at = TopicPartition(assignment.topic, assignment.partition)
            if at in self._assignments:
                self._assignments[at] = assignment
                self._commits.note(at, assignment.next_offset)

    @property
    def suspects(self) -> frozenset[TopicAndPartition]:
        """The partitions that are held at a record that exceeded a time limit, or try it again."""
        return frozenset(self._holds.partitions)

    def is_paused(self, at: TopicPartition) -> bool:
        """Whether a partition is paused, because its next record is held or its topic stopped."""
        return self._holds.is_paused(at) or self._stops.is_paused(at)

    def without_held(self, records: Sequence[ParsedRecord]) -> Sequence[ParsedRecord]:
        """Returns the records of a poll without those of paused partitions."""
        if not (self._holds.partitions or self._stops.partitions):  # nearly always
            return records
        return [r for r in records if not self.is_paused(TopicPartition(*r.origin[:2]))]

    def hold(
        self, poll: Iterable[ParsedRecord], held: Mapping[TopicAndPartition, PartitionHold]
    ) -> None:
        """Pauses the partitions in `held` at their next record, after a poll was applied; if that
        record was not tried, the partition is read on from it. Ends the hold of the poll's other
        partitions.
        """
        now_ns, assigned = time.monotonic_ns(), self._consumer.assignment()
        for at in map(TopicPartition._make, {record.origin[:2] for record in poll}):
            if at not in held:
                self._holds.end(at)
                self._stops.end(at)
            elif at in assigned:  # else loading has to see to it, should the partition come back
                is_stop = isinstance(held[at].error, TopicsStopped)
                if held[at].is_tried:
                    holds = self._stops if is_stop else self._holds
                    holds.put(at, held[at].milliseconds, now_ns)
                    self._consumer.pause(at)
                self._consumer.seek(at, self._assignments[at].next_offset)
                if self._again is not None:
                    self._again.drop(at)

    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """Returns the next offset of each assigned partition, as it is in the database."""
        assigned = self._consumer.assignment()
        return {at: row.next_offset for at, row in self._assignments.items() if at in assigned}

    def fetched_at(self, at: TopicPartition) -> int | None:
        """Returns when a broker last answered a fetch from a partition, with or without records, in
        milliseconds; None if none was answered. The time is of the wall clock, which may jump:
        compare it only with other results of this method.
        """
        if at not in self._consumer.assignment():
            return None
        fetched_ms: int | None = self._consumer.last_poll_timestamp(at)
        return fetched_ms

    def has_prefetched(self, at: TopicPartition) -> bool:
        """Whether the client has fetched records of a partition that no poll has taken yet."""
        # A private name of the pinned client: a test holds that it is there.
        return isinstance(self._consumer._fetcher._records.get(at), FetchResult)

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """Asks the brokers for the end offsets of those partitions of a topic that this process
        reads. If this process reads no partition of the topic, it asks for one other partition,
        because any answer shows that a broker is there. Raises the Kafka client's errors.
        """
        read_here = [at for at in self.group.assigned if at.topic == topic]
        numbers = sorted(self._consumer.partitions_for_topic(topic) or ())
        partitions = read_here or [TopicPartition(topic, number) for number in numbers[:1]]
        if not partitions:
            await self._consumer.topics()
            return {}
        return dict(await self._consumer.end_offsets(partitions))

    async def close(self) -> None:
        """Leaves the consumer group within a limited time, even if a broker hangs."""
        _, is_answered = await asyncio.gather(self.coverage.close(), self._commits.close())
        await close_client(self._consumer, STOP_SECONDS_MAX if is_answered else 1)

    def _go_to(self, assignments: Mapping[TopicPartition, Assignment]) -> None:
        """No await in here: the assignment must not change before the seek."""
        self._assignments, self._unchecked = dict(assignments), set()
        for at, row in assignments.items():
            offset = row.next_offset
            if row.last_record_offset is not None:
                offset = row.last_record_offset
                self._unchecked.add(at)
            self._consumer.seek(at, offset)
        self._holds.keep(assignments)
        self._stops.keep(assignments)
        self._consumer.resume(*(at for at in assignments if not self.is_paused(at)))
        self.is_loaded = True

    def _resume_due(self, now_ns: int) -> None:
        due = {*self._holds.take_due(now_ns), *self._stops.take_due(now_ns)}
        self._consumer.resume(*(at for at in sorted(due) if not self.is_paused(at)))

    def _unread(self, at: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """The records without those read before; the last record read is compared once."""
        if at not in self._unchecked:
            return records
        assignment = self._assignments[at]
        if not has_last_record(records, assignment):
            log.warning(Event.LAST_RECORD_GONE, topic=at.topic, partition=at.partition)
        self._unchecked.discard(at)
        return [record for record in records if record.offset >= assignment.next_offset]

    def _count_fault(self, problem: KafkaError, faults_max: int) -> None:
        self._faults += 1
        if self._faults > faults_max:
            raise end_of_reading(problem) from problem


def origin_of(record: Record) -> Origin:
    """Returns a Kafka record's topic, partition, offset, timestamp and bytes; a header without a
    value gets an empty one.
    """
    headers = tuple([(name, value or b"") for name, value in record.headers])
    content = record.key, record.value, headers, None, record.timestamp
    return Origin(record.topic, record.partition, record.offset, *content)
