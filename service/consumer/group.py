"""The consumer group: what it has assigned to this member, and whether it reads every topic.

If a topic is deleted, the group revokes its partitions without an error and continues with the
other topics, so that no member would report anything.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, for_code

from ..kafka.clients import KafkaUnavailable, new_admin, running
from ..runtime.failures import ConsumerLost
from ..runtime.problems import RecordsGone
from ..runtime.telemetry import Event, get_log
from ..settings.access import KafkaAccess

ASK_SECONDS_MAX = 10
STABLE = "Stable"  # the state of a group that does not rebalance

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """The topics that are read: the contract of each full topic name, and where reading begins in a
    topic that was not read before.
    """

    group_id: str
    contracts: Mapping[str, str]
    start_at_latest: bool = False


@dataclass(frozen=True, slots=True)
class IntakePauses:
    """Times for which the intake waits; they are constants and not settings."""

    commit_interval_ms: int = 500  # between commits of offsets to Kafka
    coverage_interval_ms: int = 4_000  # between questions to the group
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    # After a broker's fail-over its end offset may lag behind what was read already.
    lag_seconds_max: int = 10


def end_of_reading(problem: KafkaError) -> Exception:
    """Returns what ends the process when a member meets one error after the other."""
    if isinstance(problem, OffsetOutOfRangeError):
        return RecordsGone(
            "an input topic does not have the offset that comes next, again and again: "
            "compare consumer_offset with the topic"
        )
    return ConsumerLost(type(problem).__name__)


class GroupListener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """The partitions that the group has assigned to this member, as the client's callbacks say.

    The client logs and ignores errors of a callback, so the callbacks only store what has happened.
    The client may return records before a callback has ended, from a position that it chooses
    itself; therefore the first line of the callback pauses the partitions. The member then loads
    the offsets, seeks and resumes. This may take long, because heartbeats are sent meanwhile.
    `changed` is set when the offsets that were loaded are not valid any more.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.changed = asyncio.Event()
        self.has_joined = False
        self.problem: Exception | None = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called by the client after each rebalance."""
        try:
            self._consumer.pause(*assigned)
        except Exception as problem:  # noqa: BLE001 - kept for the loop, which raises it
            self.problem = problem
        self.assigned = frozenset(assigned)
        self.has_joined = True
        self.changed.set()
        log.info(Event.PARTITIONS_ASSIGNED, partitions=len(assigned))

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called by the client before each rebalance."""
        self.assigned = frozenset()
        self.changed.set()
        if revoked:
            log.info(Event.PARTITIONS_REVOKED, partitions=len(revoked))


class Coverage:
    """Finds absent topics in the client's metadata, and unread partitions by asking the group."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        group: GroupListener,
        access: KafkaAccess,
        source: Source,
        pauses: IntakePauses,
    ) -> None:
        self._consumer = consumer
        self._group = group
        self._access = access
        self._source = source
        self._interval_ns = pauses.coverage_interval_ms * 1_000_000
        self._ask_at_ns = time.monotonic_ns() + self._interval_ns
        self._task: asyncio.Task[None] | None = None
        self._free: frozenset[TopicPartition] = frozenset()
        self._unread: frozenset[TopicPartition] = frozenset()
        self._is_known = True

    def problem(self) -> str | None:
        """A sentence that names the topics that are absent, or else the topics with partitions that
        no member reads; None if all are read.
        """
        if absent := self.absent():
            is_any_there = len(absent) < len(self._source.contracts)
            hint = "" if is_any_there else ": is BURSAR_TOPIC_PREFIX right?"
            return f"the cluster does not have {', '.join(absent)}{hint}"
        unread = sorted({at.topic for at in self.unread()})
        return f"nobody in the group reads all of {', '.join(unread)}" if unread else None

    def absent(self) -> list[str]:
        """The topics that the cluster does not have, as far as the client knows."""
        if not self._group.has_joined:
            return []
        return [topic for topic in sorted(self._source.contracts) if not self._numbers(topic)]

    def unread(self) -> frozenset[TopicPartition]:
        """The partitions that no member of the group has, by the last answer of the group."""
        return self._unread - self._group.assigned

    def update(self) -> None:
        """Asks the group from time to time, in the background, which partitions its members have.

        A member that has all partitions itself does not ask.
        """
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
        if not self._group.has_joined:
            return
        partitions = frozenset(
            TopicPartition(topic, number)
            for topic in self._source.contracts
            for number in self._numbers(topic)
        )
        if partitions <= self._group.assigned:
            self._free = self._unread = frozenset()
        elif self._task is None and time.monotonic_ns() >= self._ask_at_ns:
            self._ask_at_ns = time.monotonic_ns() + self._interval_ns
            self._task = asyncio.create_task(self._ask(partitions))

    async def close(self) -> None:
        """Cancels a request to the group that has not been answered yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _ask(self, partitions: frozenset[TopicPartition]) -> None:
        """A partition counts as unread the second time in a row: new ones are assigned by then."""
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                read = await group_partitions(self._access, self._source.group_id)
        except (KafkaError, KafkaUnavailable, OSError, TimeoutError) as problem:
            if self._is_known:  # one line, until there is an answer again
                log.warning(Event.GROUP_UNKNOWN, problem=type(problem).__name__)
            self._is_known = False
            return
        self._is_known = True
        if read is not None:
            free = partitions - read
            self._unread, self._free = free & self._free, free

    def _numbers(self, topic: str) -> Collection[int]:
        numbers: Collection[int] | None = self._consumer.partitions_for_topic(topic)
        return numbers or ()


async def group_partitions(access: KafkaAccess, group_id: str) -> frozenset[TopicPartition] | None:
    """The partitions that the members of the group have; None while the group rebalances.

    Needs the right to read in the group, which every member has. Raises KafkaError, OSError,
    KafkaUnavailable.
    """
    async with running(new_admin(access)) as admin:
        (response,) = await admin.describe_consumer_groups([group_id])
    ((error_code, _, state, _, _, members, *_),) = response.groups
    if error_code:
        raise for_code(error_code)
    if state != STABLE:
        return None
    assignments = [ConsumerProtocolMemberAssignment.decode(member[4]) for member in members]
    return frozenset(at for assignment in assignments for at in assignment.partitions())
