"""The producer and the admin client of aiokafka as the service uses them, on simulated Kafka.

A batch that was sent is on the wire, whatever becomes of its sender. It may be appended much later,
or never; its acknowledgement may be lost, and then the idempotent producer is told that the broker
has the batch already, but not where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from tests.simulator.cluster import Cluster, Stored
from tests.simulator.scheduler import Actor

# What becomes of a batch, with how often: in all others it is appended and acknowledged.
LOST_ACKNOWLEDGEMENT = 0.04
FAILS = 0.02  # the producer is of no use for the partition any more
FAILS_AFTER_APPEND = 0.02
FORBIDDEN = 0.01
DELAYED = 0.06
DELAY_SECONDS_MAX = 15
# Of a batch whose sender is gone: whether it was still to arrive.
ARRIVES_LATE = 0.5


class Batch:
    """The records of a batch, as the service fills it."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = []

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> object:
        assert timestamp is None, "the broker stamps records"
        self.records.append((key, value, tuple(headers)))
        return self

    def close(self) -> None:
        """No more records come."""


class SimulatedProducer:
    """An idempotent producer."""

    def __init__(self, cluster: Cluster, actor: Actor) -> None:
        self._cluster = cluster
        self._actor = actor
        self._broken: set[TopicPartition] = set()
        self._sent: list[asyncio.Future[RecordMetadata]] = []
        self._is_closed = False
        self._sender = SimpleNamespace(close=self._close)
        self.client = SimpleNamespace(close=self._close)

    async def start(self) -> None:
        await self._turn("start a producer")
        if self._cluster.is_unreachable:
            raise KafkaConnectionError("Unable to bootstrap from simulated brokers")

    async def stop(self) -> None:
        while any(not future.done() for future in self._sent):
            await asyncio.wait(self._sent)

    async def partitions_for(self, topic: str) -> set[int]:
        await self._turn(f"partitions_for {topic}")
        if self._cluster.is_unreachable:
            raise KafkaTimeoutError
        return set(self._cluster.numbers(topic))

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(
        self, batch: Batch, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        at = TopicPartition(topic, partition)
        await self._turn(f"send {len(batch.records)} to {topic} {partition}")
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        self._sent.append(future)
        if at in self._broken:
            future.set_exception(OutOfOrderSequenceNumber())
        else:
            self._cluster.travel(self._deliver(at, batch, future))
        return future

    async def _deliver(
        self, at: TopicPartition, batch: Batch, future: asyncio.Future[RecordMetadata]
    ) -> None:
        cluster, random = self._cluster, self._cluster.random
        wire_number = cluster.wire_number
        label = f"{self._actor.name} produces {len(batch.records)} to {at.topic} {at.partition}"
        await cluster.scheduler.turn(cluster.wire, label)
        if random.random() < DELAYED or cluster.is_unreachable:
            await cluster.pause(random.uniform(0, DELAY_SECONDS_MAX))
            await cluster.scheduler.turn(cluster.wire, f"{label}, late")
        if wire_number != cluster.wire_number:
            self._fail(at, future, RequestTimedOutError())
            return
        if self._is_gone and random.random() >= ARRIVES_LATE:
            return
        chance = random.random()
        if (chance := chance - FORBIDDEN) < 0:
            self._fail(at, future, TopicAuthorizationFailedError(at.topic))
            return
        if (chance := chance - FAILS) < 0:
            self._fail(at, future, OutOfOrderSequenceNumber())
            return
        stamp = cluster.clock.milliseconds
        first = cluster.append(at, [Stored(*record, stamp) for record in batch.records])
        if (chance := chance - FAILS_AFTER_APPEND) < 0:
            self._fail(at, future, OutOfOrderSequenceNumber())
            return
        if (chance := chance - LOST_ACKNOWLEDGEMENT) < 0:
            first = -1
        if not future.done():
            future.set_result(RecordMetadata(*at, at, first, stamp, 1, 0))

    @property
    def _is_gone(self) -> bool:
        return self._is_closed or self._actor.is_dead

    def _fail(
        self, at: TopicPartition, future: asyncio.Future[RecordMetadata], error: KafkaError
    ) -> None:
        self._cluster.scheduler.note(f"  {type(error).__name__}")
        self._broken.add(at)
        if not future.done():
            future.set_exception(error)

    async def _close(self) -> None:
        self._is_closed = True

    async def _turn(self, label: str) -> None:
        await self._cluster.scheduler.turn(self._actor, label)


class SimulatedAdmin:
    """The admin client: it describes the group."""

    def __init__(self, cluster: Cluster, actor: Actor) -> None:
        self._cluster = cluster
        self._actor = actor

    async def start(self) -> None:
        await self._cluster.scheduler.turn(self._actor, "start an admin client")
        if self._cluster.is_unreachable:
            raise KafkaConnectionError("Unable to bootstrap from simulated brokers")

    async def close(self) -> None:
        """Nothing is to be done."""

    async def describe_consumer_groups(self, _groups: Sequence[str]) -> list[SimpleNamespace]:
        await self._cluster.scheduler.turn(self._actor, "describe the group")
        group = self._cluster.group
        members = [
            (member.name, "", "", b"", _encoded(partitions))
            for member, partitions in group.assignments.items()
        ]
        state = "Stable" if group.is_stable else "PreparingRebalance"
        return [SimpleNamespace(groups=[(0, "group", state, "consumer", "", members)])]


def _encoded(partitions: frozenset[TopicPartition]) -> bytes:
    by_topic: Mapping[str, list[int]] = {
        topic: [at.partition for at in group]
        for topic, group in groupby(sorted(partitions), lambda at: at.topic)
    }
    assignment = ConsumerProtocolMemberAssignment(0, list(by_topic.items()), b"")
    encoded: bytes = assignment.encode()
    return encoded
