"""What fails is named within 15 seconds, with the settings as they are when nobody sets them.

The time is made up: it goes to the next timer as soon as nothing else is left to do. So these tests
measure what the service waits for, and nothing of the machine that they run on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast
from unittest import mock

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from structlog.testing import capture_logs

from service.consumer.group import STABLE, IntakePauses, Source
from service.consumer.loop import Applies, Intake
from service.consumer.membership import Member
from service.database.offsets import Assignment
from service.kafka import clients
from service.messages.decode import parse
from service.restore.guard import Guard
from service.runtime.readiness import AT_ONCE, Readiness
from service.runtime.telemetry import Metrics
from service.runtime.waiting import wait_any
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits
from service.wiring import DATABASE, KAFKA, OF_DATABASE, OF_TOPICS
from tests.simulator.clock import SECOND_NS, Clock, SimulatedLoop
from tests.support.waiting import until

NAMED_SECONDS_MAX = 15
POLL_SECONDS = 0.2
TOPICS = ("library.fine-created.v1", "library.bursar-payment.v1")
PARTITIONS = frozenset(TopicPartition(topic, number) for topic in TOPICS for number in (0, 1))
SINGLE = TopicPartition(TOPICS[1], 1)
ACCESS = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1")
# A failure begins anywhere between two looks of the watch, which are two seconds apart.
LATER_MS = range(0, 2_500, 250)


class Forward:
    """Nothing happens but that time goes by."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def is_busy(self) -> bool:
        return False

    def is_expected(self, _descriptor: int) -> bool:
        return False

    def check_lock(self) -> None:
        return None

    def choose(self, timer_ns: int | None) -> None:
        assert timer_ns is not None, "every task waits for ever"
        self._clock.pass_time(timer_ns)


@dataclass
class Brokers:
    """A client of two topics with two partitions each, until something fails."""

    clock: Clock
    topics: set[str] = field(default_factory=lambda: set(TOPICS))
    fetched: set[TopicPartition] = field(default_factory=lambda: set(PARTITIONS))
    read_here: set[TopicPartition] = field(default_factory=lambda: set(PARTITIONS))
    hang: bool = False
    _fetched_ms: dict[TopicPartition, int] = field(default_factory=dict)
    unauthorized: set[str] = field(default_factory=set)
    _fetcher: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(_records={}))

    @property
    def _client(self) -> SimpleNamespace:
        return SimpleNamespace(cluster=SimpleNamespace(unauthorized_topics=self.unauthorized))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic in self.topics else None

    def assignment(self) -> set[TopicPartition]:
        return self.read_here

    def last_poll_timestamp(self, at: TopicPartition) -> int | None:
        if at in self.fetched and not self.hang:
            self._fetched_ms[at] = self.clock.milliseconds
        return self._fetched_ms.get(at)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.hang:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, 7)

    def pause(self, *_: TopicPartition) -> None:
        return None

    def resume(self, *_: TopicPartition) -> None:
        return None

    def seek(self, _at: TopicPartition, _offset: int) -> None:
        return None


class Admin:
    """A client that says which partitions the members of the group have: all but one."""

    def __init__(self, **_: object) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def describe_consumer_groups(self, _groups: list[str]) -> list[SimpleNamespace]:
        numbers = {
            topic: [at.partition for at in PARTITIONS - {SINGLE} if at.topic == topic]
            for topic in TOPICS
        }
        assigned = ConsumerProtocolMemberAssignment(0, list(numbers.items()), b"").encode()
        member = ("member", "client", "host", b"", assigned)
        return [SimpleNamespace(groups=[(0, "group", STABLE, "consumer", "sticky", [member])])]


class World:
    """A running intake and the checks of a process; `database_hangs` as `brokers.hang`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.brokers = Brokers(clock)
        self.database_hangs = False
        self.readiness = Readiness(Metrics())
        guard = cast("Guard", SimpleNamespace(writer=lambda _: None))
        source = Source("group", dict(zip(TOPICS, TOPICS, strict=True)))
        limits, pauses = IntakeLimits(), IntakePauses()
        consumer = cast("AIOKafkaConsumer", self.brokers)
        self.member = Member(consumer, ACCESS, guard, source, limits, pauses)
        self.intake = Intake(guard, ACCESS, source, parse, cast("Applies", None), limits)
        self.intake._member = self.member
        self.readiness.register(DATABASE, self._ask_database, OF_DATABASE)
        self.readiness.register(KAFKA, self.intake.contact.problem, AT_ONCE)
        self.readiness.register("topics", self.intake.topics_problem, OF_TOPICS)

    async def _ask_database(self) -> str | None:
        if self.database_hangs:
            await asyncio.Event().wait()
        return None

    def assign(self) -> None:
        self.member.group.on_partitions_assigned(list(self.brokers.read_here))
        self.member._go_to(
            {at: Assignment(at.topic, at.partition, 3, 1) for at in self.brokers.read_here}
        )

    async def poll(self) -> None:
        """What the intake does at each poll, though no records come."""
        while True:
            self.member.coverage.update()
            await asyncio.sleep(POLL_SECONDS)

    async def named_after_seconds(self, fail: Callable[[], None], check: str, later_ms: int) -> int:
        """How long after the failure the log names the check, which readiness does by then."""
        self.assign()
        self.intake.contact.attach(self.member)
        stop = asyncio.Event()
        running = [self.intake.contact.run(stop), self.readiness.watch(), self.poll()]
        tasks = [asyncio.create_task(each) for each in running]
        try:
            with capture_logs() as lines:
                await wait_any((stop,), 20_000 + later_ms)
                assert lines == [], "nothing has failed"
                began_ns = self.clock.monotonic_ns()
                fail()
                await until(lambda: any(line.get("check") == check for line in lines))
            named_ns = self.clock.monotonic_ns()
            assert check in {each.check for each in await self.readiness.findings() if not each.ok}
            assert [line["check"] for line in lines if "check" in line] == [check]
        finally:
            stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.readiness.close()
            await self.member.coverage.close()
        return -(-(named_ns - began_ns) // SECOND_NS)


def named_after(check: str, later_ms: int, fail: Callable[[World], None]) -> int:
    clock = Clock()
    loop = SimulatedLoop(clock, Forward(clock))
    with mock.patch.object(time, "monotonic_ns", clock.monotonic_ns):
        try:
            return loop.run_until_complete(_named_after(clock, check, later_ms, fail))
        finally:
            loop.close()


async def _named_after(
    clock: Clock, check: str, later_ms: int, fail: Callable[[World], None]
) -> int:
    world = World(clock)
    return await world.named_after_seconds(lambda: fail(world), check, later_ms)


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_brokers_that_hang(later_ms: int) -> None:
    def fail(world: World) -> None:
        world.brokers.hang = True

    assert 8 <= named_after("kafka", later_ms, fail) <= NAMED_SECONDS_MAX


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_database_that_hangs(later_ms: int) -> None:
    def fail(world: World) -> None:
        world.database_hangs = True

    assert 3 <= named_after("database", later_ms, fail) <= NAMED_SECONDS_MAX


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_topic_that_is_gone(later_ms: int) -> None:
    """The client learns of it with its next metadata."""

    def fail(world: World) -> None:
        world.brokers.topics.discard(SINGLE.topic)

    learnt_seconds = ACCESS.kafka_metadata_max_age_ms // 1_000
    assert learnt_seconds + named_after("topics", later_ms, fail) <= NAMED_SECONDS_MAX


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_topic_that_may_not_be_read(later_ms: int) -> None:
    """The client has no partitions of it either, and yet the topic is not gone."""
    problems: list[str | None] = []

    def fail(world: World) -> None:
        world.brokers.topics.discard(SINGLE.topic)
        world.brokers.unauthorized.add(SINGLE.topic)
        problems.append(world.intake.problem())

    learnt_seconds = ACCESS.kafka_metadata_max_age_ms // 1_000
    assert learnt_seconds + named_after("topics", later_ms, fail) <= NAMED_SECONDS_MAX
    assert problems == [f"the brokers do not let the service read {SINGLE.topic}"]


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_partition_from_which_no_records_come(later_ms: int) -> None:
    def fail(world: World) -> None:
        world.brokers.fetched.discard(SINGLE)

    assert 8 <= named_after("topics", later_ms, fail) <= NAMED_SECONDS_MAX


@pytest.mark.parametrize("later_ms", LATER_MS)
def test_a_partition_that_no_member_has(later_ms: int) -> None:
    """The group gives it to nobody when it divides the partitions anew."""

    def fail(world: World) -> None:
        world.brokers.read_here.discard(SINGLE)
        world.assign()

    with mock.patch.object(clients, "AIOKafkaAdminClient", Admin):
        assert named_after("topics", later_ms, fail) <= NAMED_SECONDS_MAX
