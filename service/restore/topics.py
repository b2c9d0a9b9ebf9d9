"""Reads from Kafka what the restore check compares: the offsets of the consumer group, the ends of
the output topics, and the records beyond an offset.
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

from ..kafka.causes import missing_right, topics_of
from ..kafka.clients import KafkaUnavailable, new_reader, running
from ..settings.access import KafkaAccess
from .findings import CannotAsk, unreadable
from .known import Record

PAGE_RECORDS = 2_000
PAGE_WAIT_MS = 200
# A request for more, which the client sends ahead, holds up the next range by so much: a recovery
# reads two ranges for each batch.
FETCH_WAIT_MS = 20
SILENCE_SECONDS_MAX = 10  # of a partition that has records to give
ANSWER_SECONDS_MAX = 10
NOT_THERE = 3  # the protocol's UNKNOWN_TOPIC_OR_PARTITION
FORBIDDEN = 29  # TOPIC_AUTHORIZATION_FAILED

Offsets = Mapping[TopicPartition, int]


class Range(NamedTuple):
    """The records of a partition from the offset `first` up to, and not including, the offset
    `end`.
    """

    at: TopicPartition
    first: int
    end: int


class Topics:
    """Reads topics for the restore check without being a member of a consumer group."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def cluster_id(self) -> str:
        """Returns the id that the Kafka cluster gives itself, or "" if it has none; this needs no
        permission.
        """
        client = self._reader._client
        request = MetadataRequest([], allow_auto_topic_creation=False)
        answer = (await client.send(client.get_random_node(), request)).to_object()
        return answer.get("cluster_id") or ""

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, list[TopicPartition]]:
        """Returns the partitions of each topic that exists. Raises TopicUnreadable for a topic that
        the service may not see.

        The topics are requested by name, because Kafka leaves topics that the service may not see
        out of a list of all topics. An internal request of the client library is used, because its
        public methods may create topics that are missing.
        """
        client = self._reader._client
        request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
        answer = (await client.send(client.get_random_node(), request)).to_object()
        partitions: dict[str, list[TopicPartition]] = {}
        for topic in answer["topics"]:
            name, error = topic["topic"], topic["error_code"]
            if error == FORBIDDEN:
                raise unreadable(name, "describe and read it")
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
        """Returns the committed offsets of the consumer group, for those of the partitions that
        have one.
        """
        offsets = await asyncio.gather(*(self._reader.committed(at) for at in partitions))
        return {at: offset for at, offset in zip(partitions, offsets, strict=True) if offset}

    async def firsts(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """Returns for each partition the offset of the first record that Kafka still keeps."""
        return dict(await self._reader.beginning_offsets(list(partitions)))

    async def ends(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """Returns the end of each partition, which is the offset of its next record."""
        return dict(await self._reader.end_offsets(list(partitions)))

    async def read(self, ranges: Sequence[Range]) -> AsyncGenerator[list[Record], None]:
        """Reads all records of the ranges, one limited page at a time. Raises CannotAsk if Kafka
        returns no record for ten seconds.
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
    """Opens a reader of topics for the duration of a `with` block. Raises CannotAsk if the brokers
    do not answer, and TopicUnreadable if they refuse access to a topic.
    """
    try:
        async with running(new_reader(access, group_id, FETCH_WAIT_MS)) as reader:
            yield Topics(reader)
    except TopicAuthorizationFailedError as problem:
        raise unreadable(topics_of(problem), "read it") from problem
    except (KafkaError, KafkaUnavailable, OSError, TimeoutError) as problem:
        text = missing_right(problem) or str(problem) or type(problem).__name__
        raise CannotAsk(
            f"Kafka does not tell whether this database is older, so nothing is written: {text}"
        ) from problem
