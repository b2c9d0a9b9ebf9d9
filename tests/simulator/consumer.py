"""The consumer of aiokafka as the service uses it, on simulated Kafka: a member of the group, or a
reader that assigns its partitions itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import SimpleNamespace

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import ConsumerRecord

from tests.simulator.cluster import Cluster, Stored
from tests.simulator.scheduler import Actor

LOST_RESPONSE = 0.05  # of commits of offsets
Records = dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]


class SimulatedConsumer:
    """A consumer. The client's background tasks are one: it joins the group again when it has to,
    and calls the listener.
    """

    def __init__(self, cluster: Cluster, actor: Actor) -> None:
        self._cluster = cluster
        self.actor = actor
        self.name = f"{actor.name}-{next(cluster.consumers)}"
        self.subscribed: frozenset[str] = frozenset()
        self._listener: ConsumerRebalanceListener | None = None
        self._task: asyncio.Task[None] | None = None
        self._rejoin = asyncio.Event()
        self._has_assignment = asyncio.Event()
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._polled_ms: dict[TopicPartition, int] = {}
        self._is_closed = False
        self._client = _Client(self)
        self._fetcher = SimpleNamespace(_records={})  # nothing is fetched before it is asked for

    # The life of a consumer

    async def start(self) -> None:
        await self.turn("start a consumer")
        if self._cluster.is_unreachable:
            raise KafkaConnectionError("Unable to bootstrap from simulated brokers")

    def subscribe(self, topics: Iterable[str], *, listener: ConsumerRebalanceListener) -> None:
        self.subscribed, self._listener = frozenset(topics), listener
        self._rejoin.set()
        self._task = asyncio.create_task(self._stay_in_group(listener))

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions)
        self._paused = set()
        self._has_assignment.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self.turn("leave the group")
            self._cluster.group.leave(self)
        self._is_closed = True
        self._cluster.wake()

    async def turn(self, label: str) -> None:
        await self._cluster.scheduler.turn(self.actor, f"consumer {label}")

    async def _request(self, label: str) -> None:
        """Asks a broker. Raises RequestTimedOutError if none can be reached."""
        await self.turn(label)
        if self._cluster.is_unreachable:
            raise RequestTimedOutError

    @property
    def has_heartbeats(self) -> bool:
        """Whether the coordinator hears of the consumer."""
        gone = self._is_closed or self.actor.is_dead or self.actor.is_paused
        return not gone and self._task is not None and not self._task.done()

    def has_to_join(self) -> None:
        """The next answer to a heartbeat says so."""
        self._rejoin.set()

    async def _stay_in_group(self, listener: ConsumerRebalanceListener) -> None:
        group = self._cluster.group
        while True:
            await self._rejoin.wait()
            await self.turn("hears of a rebalance")
            self._has_assignment.clear()
            listener.on_partitions_revoked(self.assignment())
            while self._rejoin.is_set():
                self._rejoin.clear()
                await self.turn("join")
                assigned = await group.join(self)
                await self.turn("sync")
            self._positions = {at: group.offsets.get(at) for at in sorted(assigned)}
            self._paused = set()
            # The client is ready to give records before the callback has ended.
            self._has_assignment.set()
            listener.on_partitions_assigned(assigned)
            self._cluster.wake()

    # Records

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Records:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1_000
        while True:
            await self._has_assignment.wait()  # whatever the timeout is
            await self.turn("getmany")
            if self._is_closed:
                raise ConsumerStoppedError
            if not self._has_assignment.is_set():
                continue
            if records := self._fetched(partitions, max_records or 500):
                return records
            left = deadline - loop.time()
            if left <= 0 or not await self._something_new(left):
                return {}

    async def _something_new(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._cluster.something_new()
        except TimeoutError:
            return False
        return True

    def _fetched(self, partitions: Collection[TopicPartition], records_max: int) -> Records:
        """Some of the records that could come, of some partitions in some order."""
        if self._cluster.is_unreachable:
            return {}
        random = self._cluster.random
        filled: list[TopicPartition] = []
        for at in partitions or sorted(self._positions):
            position = self._positions.get(at)
            if position is None:
                raise NoOffsetForPartitionError(at)
            if position > len(self._cluster.logs[at]):
                raise OffsetOutOfRangeError({at: position})
            if at in self._paused:
                continue
            self._polled_ms[at] = self._cluster.clock.milliseconds
            if position < len(self._cluster.logs[at]):
                filled.append(at)
        records: Records = {}
        random.shuffle(filled)
        for at in filled[: random.randint(1, len(filled))] if filled else ():
            records_max -= len(taken := self._taken(at, records_max))
            records[at] = taken
            if records_max <= 0:
                break
        return records

    def _taken(self, at: TopicPartition, records_max: int) -> list[ConsumerRecord[bytes, bytes]]:
        first = self._positions[at]
        assert first is not None
        log = self._cluster.logs[at]
        most = min(records_max, len(log) - first)
        end = first + self._cluster.random.randint(1, most)
        self._positions[at] = end
        return [_record(at, offset, log[offset]) for offset in range(first, end)]

    # Places

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def seek(self, at: TopicPartition, offset: int) -> None:
        self._require(at)
        self._positions[at] = offset
        self._cluster.wake()

    def pause(self, *partitions: TopicPartition) -> None:
        for at in partitions:
            self._require(at)
            self._paused.add(at)

    def resume(self, *partitions: TopicPartition) -> None:
        for at in partitions:
            self._require(at)
            self._paused.discard(at)
        if partitions:
            self._cluster.wake()

    async def position(self, at: TopicPartition) -> int:
        while True:  # as the client, which waits for the offset of the group, or for a seek
            self._require(at)
            if (position := self._positions[at]) is not None:
                return position
            await self._cluster.something_new()

    def last_poll_timestamp(self, at: TopicPartition) -> int | None:
        return self._polled_ms.get(at)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(self._cluster.numbers(topic)) or None

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._request("beginning_offsets")
        return dict.fromkeys(partitions, 0)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        await self._request("end_offsets")
        return {at: len(self._cluster.logs[at]) for at in partitions}

    async def topics(self) -> set[str]:
        await self._request("topics")
        return {at.topic for at in self._cluster.logs}

    async def committed(self, at: TopicPartition) -> int | None:
        await self._request("committed")
        return self._cluster.group.offsets.get(at)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets.keys() <= self._positions.keys():
            raise IllegalStateError("Partition is not assigned")
        await self._request("commit")
        if not self._cluster.group.is_current(self):
            raise CommitFailedError("membership already changed on broker")
        self._cluster.group.offsets |= offsets
        if self._cluster.random.random() < LOST_RESPONSE:
            raise RequestTimedOutError

    def _require(self, at: TopicPartition) -> None:
        if at not in self._positions:
            raise IllegalStateError(f"No current assignment for partition {at}")

    async def describe(self, topics: Sequence[str]) -> Mapping[str, object]:
        """The answer to a request for metadata."""
        await self._request("metadata")
        known = {topic: self._cluster.numbers(topic) for topic in topics}
        return {
            "topics": [
                {
                    "topic": topic,
                    "error_code": 0 if numbers else 3,
                    "partitions": [{"partition": number} for number in numbers],
                }
                for topic, numbers in known.items()
            ]
        }


def _record(at: TopicPartition, offset: int, stored: Stored) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        topic=at.topic,
        partition=at.partition,
        offset=offset,
        timestamp=stored.timestamp,
        timestamp_type=0,
        key=stored.key,
        value=stored.value,
        checksum=None,
        serialized_key_size=len(stored.key or b""),
        serialized_value_size=len(stored.value or b""),
        headers=stored.headers,
    )


class _Client:
    """What the service uses of the client inside a consumer."""

    def __init__(self, consumer: SimulatedConsumer) -> None:
        self._consumer = consumer
        self.cluster = SimpleNamespace(unauthorized_topics=frozenset())

    def get_random_node(self) -> int:
        return 0

    async def set_topics(self, topics: Iterable[str]) -> None:
        """The topics are known already."""

    async def send(self, _node: int, request: MetadataRequest) -> SimpleNamespace:
        answer = await self._consumer.describe(request._topics or ())
        return SimpleNamespace(to_object=lambda: answer)
