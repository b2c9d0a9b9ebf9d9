"""Polls of disjoint halves of the partitions, which are applied beside each other.

While one of the two transactions waits for PostgreSQL, the program works for the other one. A half
has whole numbers of partitions, in all topics: where the topics have the same number of partitions,
the records of an account are in one half, and the two transactions do not wait for each other.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from ..apply.isolation import Record as ParsedRecord
from ..apply.poll import Report
from ..restore.known import Record

R = TypeVar("R")


def half_of(assigned: Collection[TopicPartition], turn: int) -> list[TopicPartition]:
    """Every second number of the partitions, in all topics: one half for even turns, and the other
    for odd ones.
    """
    numbers = set(sorted({at.partition for at in assigned})[turn % 2 :: 2])
    return [at for at in assigned if at.partition in numbers]


async def take_half(
    consumer: AIOKafkaConsumer, turn: int, records_max: int
) -> Mapping[TopicPartition, Sequence[Record]]:
    """The records of one half of the partitions that were fetched already; none if none were."""
    half = half_of(consumer.assignment(), turn)
    return await taken_from(consumer, half, 0, records_max) if half else {}


async def taken_from(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition], wait_ms: int, most: int
) -> Mapping[TopicPartition, Sequence[Record]]:
    """At most so many records of these partitions, or of all if none is named; none if none have
    come after `wait_ms`. Raises errors of the client.
    """
    records: Mapping[TopicPartition, Sequence[Record]] = await consumer.getmany(
        *partitions, timeout_ms=wait_ms, max_records=most
    )
    return records


def are_apart(some: Sequence[ParsedRecord], others: Sequence[ParsedRecord]) -> bool:
    """Whether there are records in both, and no partition of `some` has the number of a partition
    of `others`.
    """
    numbers = {record.origin.partition for record in some}
    are_disjoint = numbers.isdisjoint(record.origin.partition for record in others)
    return bool(some and others) and are_disjoint


async def results_of(*works: Awaitable[R]) -> list[R]:
    """The results of works that go on beside each other. Raises what the first of them raises that
    fails, but only when all have ended: none of them goes on behind the caller's back.
    """
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def ends_of(report: Report) -> dict[TopicPartition, int]:
    """The next offset of each partition after the commits of a report."""
    return {TopicPartition(row.topic, row.partition): row.next_offset for row in report.assignments}
