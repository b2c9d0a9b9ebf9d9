"""The consumer group: which partitions it has assigned to this process, and whether its members
together read every input topic.

If a topic is deleted, the Kafka client gives up its partitions without an error and continues with
the other topics. Because nothing reports a deleted topic, the service itself looks for topics that
are absent.
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
from ..runtime.problems import RecordsGone, result_or_exception
from ..runtime.telemetry import Event, get_log
from ..settings.access import KafkaAccess

ASK_SECONDS_MAX = 10
STABLE = "Stable"  # the state of a group that does not rebalance

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """The topics that the intake reads: `contracts` maps the full name of each topic to its name
    without the installation's prefix, and `start_at_latest` says whether a topic that was never
    read is read from its end instead of its beginning.
    """

    group_id: str
    contracts: Mapping[str, str]
    start_at_latest: bool = False


@dataclass(frozen=True, slots=True)
class IntakePauses:
    """How long the intake waits at various points, in units that the names give; operators cannot
    set these times.
    """

    commit_interval_ms: int = 500  # between commits of offsets to Kafka
    coverage_interval_ms: int = 4_000  # between questions to the group
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    # After a broker's fail-over its end offset may lag behind what was read already.
    lag_seconds_max: int = 10


def end_of_reading(problem: KafkaError) -> Exception:
    """Returns the exception to raise when fetching records has failed too often in a row:
    ConsumerLost, after which the intake joins the group again, or RecordsGone, which ends the
    process, if the next offset does not exist in the topic.
    """
    if isinstance(problem, OffsetOutOfRangeError):
        return RecordsGone(
            "an input topic does not have the offset that comes next, again and again: "
            "compare consumer_offset with the topic"
        )
    return ConsumerLost(type(problem).__name__)


class GroupListener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Remembers which partitions the group has assigned to this process; the Kafka client calls its
    methods at a rebalance.

    The client logs and ignores exceptions that these callbacks raise, so they only store what has
    happened, for the intake to act on. The client may return records of newly assigned partitions
    from a position of its own choice, even before the callback has ended; therefore the callback
    pauses the partitions first. The class Member then loads the offsets from the database, seeks to
    them and resumes the partitions. Loading the offsets may take long without harm, because the
    client keeps sending heartbeats to the group. `changed` is set when the assignment has changed
    or reading has failed, so that the offsets have to be loaded again.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.changed = asyncio.Event()
        self.has_joined = False
        self.problem: Exception | None = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pauses and remembers the partitions that this process has now; the client calls it after
        each rebalance.
        """
        paused = result_or_exception(lambda: self._consumer.pause(*assigned))
        if isinstance(paused, Exception):
            self.problem = paused  # for the loop, which raises it
        self.assigned = frozenset(assigned)
        self.has_joined = True
        self.changed.set()
        log.info(Event.PARTITIONS_ASSIGNED, partitions=len(assigned))

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Forgets all assigned partitions; the client calls it before each rebalance."""
        self.assigned = frozenset()
        self.changed.set()
        if revoked:
            log.info(Event.PARTITIONS_REVOKED, partitions=len(revoked))


class Coverage:
    """Finds input topics that do not exist, in the client's metadata, and partitions that no member
    reads, by asking the group's coordinator.
    """

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
        """Returns a sentence that names the topics that the service has no right to read; or else
        those that do not exist; or else those with partitions that no member reads. Returns None if
        all topics are read.
        """
        if unauthorized := self._unauthorized():
            return f"the brokers do not let the service read {', '.join(unauthorized)}"
        if absent := self.absent():
            is_any_there = len(absent) < len(self._source.contracts)
            hint = "" if is_any_there else ": is BURSAR_TOPIC_PREFIX right?"
            return f"the cluster does not have {', '.join(absent)}{hint}"
        unread = sorted({at.topic for at in self.unread()})
        return f"nobody in the group reads all of {', '.join(unread)}" if unread else None

    def absent(self) -> list[str]:
        """Returns the input topics that do not exist according to the client's metadata; none
        before the process has joined the group.
        """
        if not self._group.has_joined:
            return []
        return [topic for topic in sorted(self._source.contracts) if not self._numbers(topic)]

    def _unauthorized(self) -> list[str]:
        """The topics that the brokers do not show to this client."""
        # A private name of the pinned client: a test holds that it is there.
        names = self._consumer._client.cluster.unauthorized_topics
        return sorted(names & self._source.contracts.keys())

    def unread(self) -> frozenset[TopicPartition]:
        """Returns the partitions that are assigned to no member of the group, according to the last
        two answers of its coordinator.
        """
        return self._unread - self._group.assigned

    def update(self) -> None:
        """Asks the group's coordinator every few seconds, in the background, which partitions are
        assigned to which members.

        If all partitions are assigned to this process itself, it does not ask the coordinator.
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
        """Cancels the request to the group's coordinator if it has not been answered yet."""
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
    """Returns all partitions that are assigned to members of the group; None while the group
    rebalances.

    Needs the Kafka right to read in the group, which every process that joins the group has anyway.
    Raises KafkaError, OSError, KafkaUnavailable.
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
