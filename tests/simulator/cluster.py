"""Simulated Kafka: partitions, and the coordinator of the consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import copy_context
from itertools import count
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition

from service.kafka.assignor import GroupMember, spread
from tests.simulator.clock import SECOND_NS, Clock
from tests.simulator.scheduler import CURRENT, Actor, Scheduler

if TYPE_CHECKING:
    from tests.simulator.consumer import SimulatedConsumer

Headers = tuple[tuple[str, bytes], ...]
WATCH_SECONDS = 1


class Stored(NamedTuple):
    """A record in a partition."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


class Cluster:
    """The brokers. `wire` is the actor of what is under way to them, whoever has sent it."""

    def __init__(
        self, scheduler: Scheduler, partitions: Mapping[str, int], session_seconds: int
    ) -> None:
        self.scheduler = scheduler
        self.random: Random = scheduler.random
        self.clock: Clock = scheduler.clock
        self.wire = Actor("wire")
        self.logs: dict[TopicPartition, list[Stored]] = {
            TopicPartition(topic, number): []
            for topic, size in partitions.items()
            for number in range(size)
        }
        self.group = Group(self, session_seconds)
        self.is_unreachable = False
        self.consumers = count()
        # Requests that were under way when this number changed never arrive.
        self.wire_number = 0
        self._waiting: list[asyncio.Future[None]] = []

    def numbers(self, topic: str) -> list[int]:
        """The partitions of a topic."""
        return [at.partition for at in self.logs if at.topic == topic]

    def append(self, at: TopicPartition, records: Sequence[Stored]) -> int:
        """Puts records behind those of the partition; the offset of the first of them."""
        log = self.logs[at]
        first = len(log)
        log.extend(records)
        self.wake()
        return first

    def wake(self) -> None:
        """Lets consumers look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def something_new(self) -> None:
        """Waits until something may have changed for a consumer."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def travel(self, work: Coroutine[object, object, None]) -> None:
        """Lets a request go its way, which does not end with its sender."""
        context = copy_context()
        context.run(CURRENT.set, self.wire)
        asyncio.create_task(work, context=context)  # noqa: RUF006 - the wire keeps it

    async def pause(self, seconds: float) -> None:
        """Lets simulated time pass."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.call_later(seconds, over.set)
        await over.wait()

    async def watch(self) -> None:
        """Removes members of the group that are silent, as the coordinator does."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.group.expire()


class Group:
    """The consumer group. Its members are consumers, and a consumer that was removed does not know
    before it asks.
    """

    def __init__(self, cluster: Cluster, session_seconds: int) -> None:
        self._cluster = cluster
        self._session_ns = session_seconds * SECOND_NS
        self.offsets: dict[TopicPartition, int] = {}
        self.generation = 0
        self.is_stable = True
        self.assignments: dict[SimulatedConsumer, frozenset[TopicPartition]] = {}
        self._joining: dict[SimulatedConsumer, asyncio.Future[frozenset[TopicPartition]]] = {}
        self._heard_ns: dict[SimulatedConsumer, int] = {}

    def join(self, member: SimulatedConsumer) -> asyncio.Future[frozenset[TopicPartition]]:
        """Asks for an assignment, which comes when all members have asked."""
        future = asyncio.get_running_loop().create_future()
        self._joining[member] = future
        self._heard_ns[member] = self._cluster.clock.monotonic_ns()
        self.assignments.setdefault(member, frozenset())
        self.rebalance()
        self._assign()
        return future

    def rebalance(self) -> None:
        """Every member has to ask for its assignment anew."""
        if self.is_stable:
            self.is_stable = False
            for member in self.assignments:
                if member not in self._joining:
                    member.has_to_join()

    def leave(self, member: SimulatedConsumer) -> None:
        """Removes a member."""
        if self.assignments.pop(member, None) is not None:
            self._heard_ns.pop(member)
            asked = self._joining.pop(member, None)
            if asked is not None and not asked.done():
                asked.set_result(frozenset())
            self.rebalance()
            self._assign()

    def expel(self, actor: Actor) -> None:
        """Removes the member of a process, which will be told so."""
        for member in list(self.assignments):
            if member.actor is actor:
                self._cluster.scheduler.note(f"  the group loses {member.name}")
                self.leave(member)
                member.has_to_join()

    def expire(self) -> None:
        """Removes the members that have been silent for longer than a session lasts."""
        now_ns = self._cluster.clock.monotonic_ns()
        for member in list(self.assignments):
            if member.has_heartbeats:
                self._heard_ns[member] = now_ns
            elif now_ns - self._heard_ns[member] > self._session_ns:
                self._cluster.scheduler.note(f"  the group loses {member.name}")
                self.leave(member)
                member.has_to_join()

    def is_current(self, member: SimulatedConsumer) -> bool:
        """Whether the group takes offsets from this member; from others only while it has none."""
        if not member.subscribed:
            return not self.assignments
        return self.is_stable and self.assignments.get(member) == member.assignment()

    def _assign(self) -> None:
        if not self.assignments or self._joining.keys() != self.assignments.keys():
            return
        self.generation += 1
        self.is_stable = True
        self.assignments = self._spread()
        joining, self._joining = self._joining, {}
        for member, future in joining.items():
            if not future.done():
                future.set_result(self.assignments[member])

    def _spread(self) -> dict[SimulatedConsumer, frozenset[TopicPartition]]:
        """As the service's own assignor does, or as it comes."""
        members = sorted(self.assignments, key=lambda member: member.name)
        topics = frozenset(topic for member in members for topic in member.subscribed)
        partitions = [at for at in self._cluster.logs if at.topic in topics]
        random = self._cluster.random
        if random.random() < 0.5:
            owners = {at: random.choice(members) for at in partitions}
            return {
                member: frozenset(at for at in partitions if owners[at] is member)
                for member in members
            }
        numbers = {topic: self._cluster.numbers(topic) for topic in sorted(topics)}
        by_name = spread(
            numbers,
            {
                member.name: GroupMember(topics, self.assignments[member], self.generation)
                for member in members
            },
        )
        return {member: frozenset(by_name[member.name]) for member in members}
