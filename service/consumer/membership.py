"""A member of the consumer group, from joining to leaving: its partitions, their offsets, records.

`changed` means that what was loaded holds no more; then nothing is taken until it is loaded again.
"""

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

from ..apply.poll import PartitionHold, Place
from ..core.ledger import Origin
from ..database.offsets import Assignment
from ..kafka.clients import STOP_SECONDS_MAX, close_client, new_consumer, start
from ..kafka.stops import RecordsGone
from ..restore.guard import Guard
from ..runtime.failures import ConsumerLost
from ..runtime.telemetry import Event, get_log
from ..runtime.waiting import unless_set
from ..settings import IntakeLimits, KafkaAccess
from .commits import Commits
from .coverage import Coverage
from .group import Membership
from .holds import Holds
from .limits import IntakePauses, Source
from .offsets import Loaded, OffsetLoader
from .records import LastRecord, Taken, after_last_record, origin_of

LOAD_SECONDS_MAX = 15
FAULTS_IN_A_ROW_MAX = 10
# Of a partition whose next record alone is too much: how long until it is tried again.
HOLD_MS_MAX = 5_000

log = get_log(__name__)

Records = Mapping[TopicPartition, Sequence[Taken]]


class Member:
    """`is_loaded`: the offsets of what is assigned are known and records may come."""

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
        self._loader = OffsetLoader(
            guard, consumer, source.group_id, source.start_at_latest, pauses
        )
        self._commits = Commits(consumer, pauses.commit_interval_ms)
        self._coverage = Coverage(consumer, access, source, pauses)
        self._assignments: dict[TopicPartition, Assignment] = {}
        self._last_records: dict[TopicPartition, LastRecord] = {}
        self._faults = 0
        self._holds = Holds(pauses.backoff_first_ms, HOLD_MS_MAX)
        self.is_loaded = False
        self.membership = Membership(consumer)

    def problem(self) -> str | None:
        """Why no records come at all; None if they do."""
        if not self.membership.assigned:
            return "no partition is assigned"
        return None if self.is_loaded else "the offsets are not loaded"

    def topics_problem(self) -> str | None:
        """Names topics that are absent, or that nobody reads all of; None if there are none."""
        group = self.membership
        return self._coverage.problem(group.assigned) if group.has_joined else None

    def unassigned(self) -> frozenset[TopicPartition]:
        """Partitions that nobody in the group has, as far as this member knows."""
        return self._coverage.unread(self.membership.assigned)

    def absent(self) -> list[str]:
        """Input topics that the cluster does not have."""
        return self._coverage.absent() if self.membership.has_joined else []

    def look_at_group(self) -> None:
        """Asks now and then whether the group reads all of the topics."""
        if self.membership.has_joined:
            self._coverage.look(self.membership.assigned)

    async def load(self, stop: asyncio.Event, committed: Mapping[TopicPartition, int]) -> None:
        """Offsets of what is assigned, from the database; given up when that changes again.

        Raises OlderDatabase, OtherHistory, RecordsGone, ConsumerLost; and what the database and the
        client raise while they are away.
        """
        group = self.membership
        self._assignments, self._last_records, self.is_loaded = {}, {}, False
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
            self._go_to(loaded)

    async def take(self, stop: asyncio.Event, records_max: int) -> list[Origin]:
        """New records, by partition in order; none if there are none, at a stop or a change.

        In a rebalance the client ignores its own timeout: hence the race. Raises KafkaError for
        what heals, ConsumerLost for what does not; the position has moved then, so load again.
        """
        if self.is_loaded and not self.membership.changed.is_set():
            self._consumer.resume(*self._holds.take_due(time.monotonic_ns()))
        try:
            found = await self._asked(stop, records_max)
        except NoOffsetForPartitionError as problem:
            # From before the seek; one of each partition waits to be told.
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
        return self._origins(found)

    def assignments_of(self, records: Iterable[Origin]) -> tuple[Assignment, ...]:
        """The partitions that the records are from."""
        places = {TopicPartition(record.topic, record.partition) for record in records}
        return tuple(self._assignments[at] for at in sorted(places))

    def advance(self, assignments: Iterable[Assignment]) -> None:
        """The database has committed up to here; Kafka is told in the background."""
        for assignment in assignments:
            at = TopicPartition(assignment.topic, assignment.partition)
            if at in self._assignments:
                self._assignments[at] = assignment
                self._commits.note(at, assignment.next_offset)

    @property
    def suspects(self) -> frozenset[Place]:
        """The partitions that are held, or were until just now."""
        return frozenset((at.topic, at.partition) for at in self._holds.partitions)

    def without_held(self, records: Iterable[Origin]) -> list[Origin]:
        """What may be applied of records that were taken together."""
        paused = self._holds.is_paused
        return [r for r in records if not paused(TopicPartition(r.topic, r.partition))]

    def hold(self, poll: Iterable[Origin], held: Mapping[Place, PartitionHold]) -> None:
        """After a poll was applied: all its partitions go on but those of `held`.

        Those of them that were not tried go on as well, at the record that was left.
        """
        now_ns, assigned = time.monotonic_ns(), self._consumer.assignment()
        for place in {record[:2] for record in poll}:
            at = TopicPartition(*place)
            if place not in held:
                self._holds.end(at)
            elif at in assigned:  # else loading has to see to it, should the partition come back
                if held[place].is_tried:
                    self._holds.put(at, held[place].milliseconds, now_ns)
                    self._consumer.pause(at)
                self._consumer.seek(at, self._assignments[at].next_offset)

    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """Of what is loaded: where the database says that each partition goes on."""
        ours = self._consumer.assignment()
        return {
            at: assignment.next_offset for at, assignment in self._assignments.items() if at in ours
        }

    def is_held(self, at: TopicPartition) -> bool:
        """Whether its next record waits for the database, so that it is not fetched meanwhile."""
        return at in self._holds.partitions

    def fetched_at(self, at: TopicPartition) -> int | None:
        """When a broker last answered a fetch from it, with records or without, in milliseconds.

        By the wall clock, and so good for comparing only. None: not yet.
        """
        fetched_ms: int | None = None
        if at in self._consumer.assignment():
            fetched_ms = self._consumer.last_poll_timestamp(at)
        return fetched_ms

    def has_prefetched(self, at: TopicPartition) -> bool:
        """Whether records of it are here and wait for a poll: then no more are fetched."""
        # A private name of the pinned client: a test holds that it is there.
        return isinstance(self._consumer._fetcher._records.get(at), FetchResult)

    async def ends(self, topic: str) -> Mapping[TopicPartition, int]:
        """Asks the brokers where the partitions of the topic that are read here end.

        Where none is, it asks for one: to be answered is what counts then. Raises what the client
        raises.
        """
        ours = [at for at in self.membership.assigned if at.topic == topic]
        numbers = sorted(self._consumer.partitions_for_topic(topic) or ())
        asked = ours or [TopicPartition(topic, number) for number in numbers[:1]]
        if not asked:
            await self._consumer.topics()
            return {}
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(asked)
        return ends

    async def close(self) -> None:
        """Leaves the group, within a bound that a broker which hangs uses up once."""
        _, answers = await asyncio.gather(self._coverage.close(), self._commits.close())
        await close_client(self._consumer, STOP_SECONDS_MAX if answers else 1)

    async def _asked(self, stop: asyncio.Event, records_max: int) -> Records:
        asked = self._consumer.getmany(
            timeout_ms=self._limits.poll_wait_ms, max_records=records_max
        )
        found: Records | None = await unless_set(asked, stop, self.membership.changed)
        return found if found and not self.membership.changed.is_set() else {}

    def _origins(self, found: Records) -> list[Origin]:
        return [origin_of(one) for at, records in found.items() for one in self._new(at, records)]

    def _go_to(self, loaded: Loaded) -> None:
        """No await in here: nothing may change between the look at the assignment and the seek."""
        self._assignments, self._last_records = dict(loaded.assignments), dict(loaded.last_records)
        for at in self._assignments:
            self._consumer.seek(at, loaded.start(at))
        self._holds.keep(self._assignments)
        self._consumer.resume(*(at for at in self._assignments if not self._holds.is_paused(at)))
        self.is_loaded = True

    def _new(self, at: TopicPartition, records: Sequence[Taken]) -> Sequence[Taken]:
        """Without what was read before; the last record read is compared on its way out."""
        last_record = self._last_records.get(at)
        if last_record is None:
            return records
        behind, found = after_last_record(records, last_record)
        if not found:
            log.warning(Event.LAST_RECORD_GONE, topic=at.topic, partition=at.partition)
        del self._last_records[at]
        return behind

    def _count_fault(self, problem: KafkaError, faults_max: int) -> None:
        self._faults += 1
        if self._faults <= faults_max:
            return
        if isinstance(problem, OffsetOutOfRangeError):
            raise RecordsGone(
                "an input topic does not have the offset that comes next, again and again: "
                "compare consumer_offset with the topic"
            ) from problem
        raise ConsumerLost(type(problem).__name__) from problem


async def join(
    access: KafkaAccess,
    guard: Guard,
    source: Source,
    limits: IntakeLimits,
    pauses: IntakePauses,
) -> Member:
    """A member that is about to join; it waits for nobody. Raises KafkaUnavailable.

    Subscribed after its start: `start` with a subscription waits for the whole group.
    """
    consumer = await start(new_consumer(access, source.group_id, limits))
    member = Member(consumer, access, guard, source, limits, pauses)
    consumer.subscribe(sorted(source.contracts), listener=member.membership)
    return member
