"""Reads from Kafka what the check compares: the offsets of the group, the ends of the output
topics, and the records beyond an offset.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from ..kafka.clients import KafkaUnavailable, new_reader, running
from ..settings.access import KafkaAccess
from .findings import CannotAsk, unreadable
from .known import Record

PAGE_RECORDS = 2_000
PAGE_WAIT_MS = 200
SILENCE_SECONDS_MAX = 10  # of a partition that has records to give
ANSWER_SECONDS_MAX = 10
NOT_THERE = 3  # the protocol's UNKNOWN_TOPIC_OR_PARTITION
FORBIDDEN = 29  # TOPIC_AUTHORIZATION_FAILED

Offsets = Mapping[TopicPartition, int]


class Range(NamedTuple):
    """Records of a partition from `first` on, without `end`."""

    at: TopicPartition
    first: int
    end: int


class Topics:
    """Reads what the check compares, as a member of no group."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def cluster_id(self) -> str:
        """Returns the id that the cluster gives itself, "" if it has none; needs no right."""
        client = self._reader._client
        request = MetadataRequest([], allow_auto_topic_creation=False)
        answer = (await client.send(client.get_random_node(), request)).to_object()
        return answer.get("cluster_id") or ""

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, list[TopicPartition]]:
        """Returns the partitions of each topic that exists. Raises OutputUnreadable for a topic
        that the service may not see.

        The topics are requested by name, because a list of all topics leaves out those that may not
        be seen. The client has no public method that requests topics without creating those that
        are missing.
        """
        client = self._reader._client
        request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
        answer = (await client.send(client.get_random_node(), request)).to_object()
        partitions: dict[str, list[TopicPartition]] = {}
        for topic in answer["topics"]:
            name, error = topic["topic"], topic["error_code"]
            if error == FORBIDDEN:
                raise unreadable(name, "describe and read it").error()
            if error == NOT_THERE:
                continue
            if error:
                raise for_code(error)(name)
            numbers = sorted(partition["partition"] for partition in topic["partitions"])
            partitions[name] = [TopicPartition(name, number) for number in numbers]
        # Else the client would learn of them one by one, with a pause for each.
        await client.set_topics(partitions)
        return partitions

    async def committed(self, partitions: Collection[TopicPartition]) -> Offsets:
        """Returns the offsets that the group has committed, for those of the partitions that have
        one.
        """
        offsets = await asyncio.gather(*(self._reader.committed(at) for at in partitions))
        return {at: offset for at, offset in zip(partitions, offsets, strict=True) if offset}

    async def firsts(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """Returns the offset of the first record that is kept of each partition."""
        return dict(await self._reader.beginning_offsets(list(partitions)))

    async def ends(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """Returns the end of each partition, which is the offset of its next record."""
        return dict(await self._reader.end_offsets(list(partitions)))

    async def read(self, ranges: Sequence[Range]) -> AsyncGenerator[list[Record], None]:
        """Reads all records of the ranges, one limited page at a time. Raises CannotAsk if no
        record comes.
        """
        ends = {part.at: part.end for part in ranges if part.first < part.end}
        if not ends:
            return
        self._reader.assign(sorted(ends))
        for part in ranges:
            if part.at in ends:
                self._reader.seek(part.at, part.first)
        last_page_ns = time.monotonic_ns()
        while ends:
            records_by_partition = await self._reader.getmany(
                *ends, timeout_ms=PAGE_WAIT_MS, max_records=PAGE_RECORDS
            )
            page: list[Record] = [
                record
                for at, records in records_by_partition.items()
                for record in records
                if record.offset < ends[at]
            ]
            if page:
                yield page
                last_page_ns = time.monotonic_ns()  # the time that the caller takes is no silence
            for at in list(ends):
                if await self._reader.position(at) >= ends[at]:
                    del ends[at]
                    self._reader.pause(at)
            silence_ns = time.monotonic_ns() - last_page_ns
            if ends and silence_ns > SILENCE_SECONDS_MAX * 1_000_000_000:
                raise CannotAsk(f"topic {min(ends).topic} does not give its records")


@asynccontextmanager
async def open_topics(access: KafkaAccess, group_id: str) -> AsyncIterator[Topics]:
    """Opens a reader of topics for the block. Raises CannotAsk if the brokers do not answer, and
    OutputUnreadable if they refuse.
    """
    try:
        async with running(new_reader(access, group_id)) as reader:
            yield Topics(reader)
    except TopicAuthorizationFailedError as problem:
        raise unreadable(_names(problem), "read it").error() from problem
    except (KafkaError, KafkaUnavailable, OSError, TimeoutError) as problem:
        text = str(problem) or type(problem).__name__
        raise CannotAsk(
            f"Kafka does not tell whether this database is older, so nothing is written: {text}"
        ) from problem


def _names(problem: TopicAuthorizationFailedError) -> str:
    """The client raises it with a topic's name, or with a set of them."""
    (first, *_) = problem.args or ("?",)
    return first if isinstance(first, str) else ", ".join(sorted(map(str, first)))
