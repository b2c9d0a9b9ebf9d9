"""A member that reads again after a restore, and loses its partitions to another one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from service.consumer.again import ReadAgain
from service.consumer.group import IntakePauses, Source
from service.consumer.membership import Member
from service.core.ledger import Origin
from service.restore.guard import Guard
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits

TOPIC = "library.fine-created.v1"
AT, OTHER = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class WithoutPartitions:
    """A client whose partitions were given to another member."""

    def assignment(self) -> set[TopicPartition]:
        return set()

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0, 1}

    def resume(self, *_: TopicPartition) -> None:
        return None

    async def getmany(self, **_: object) -> dict[TopicPartition, list[object]]:
        return {}


async def test_records_that_wait_for_earlier_ones_go_with_their_partitions() -> None:
    guard = cast("Guard", SimpleNamespace(writer=lambda _: None))
    consumer = cast("AIOKafkaConsumer", WithoutPartitions())
    access = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1")
    source = Source("group", {TOPIC: TOPIC})
    member = Member(consumer, access, guard, source, IntakeLimits(), IntakePauses())
    member._again = ReadAgain({AT: 5, OTHER: 5}, (TOPIC,))
    member._again.put(AT, [Origin(TOPIC, 0, 0, None, b"", timestamp_ms=1)], 1)
    stop = asyncio.Event()
    await member.load(stop, {})
    assert await member.take(stop, 10) == []
