"""What Kafka has: offsets of the group, ends of the output topics, the records beyond an offset."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from ..kafka.clients import KafkaAccess, KafkaUnavailable, close_client, new_reader, start
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
    """One reader for everything that is asked; a member of no group."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def partitions(self, topics: Sequence[str]) -> Mapping[str, list[TopicPartition]]:
        """Those of each topic that is there. Raises OutputUnreadable for one that is hidden.

        Asked by name, since a list of all topics leaves out those that may not be seen; the client
        has no public call that asks without also creating what is missing.
        """
        client = self._reader._client
        request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
        answer = (await client.send(client.get_random_node(), request)).to_object()
        found: dict[str, list[TopicPartition]] = {}
        for told in answer["topics"]:
            name, error = told["topic"], told["error_code"]
            if error == FORBIDDEN:
                raise unreadable(name, "describe and read it").problem()
            if error == NOT_THERE:
                continue
            if error:
                raise for_code(error)(name)
            numbers = sorted(partition["partition"] for partition in told["partitions"])
            found[name] = [TopicPartition(name, number) for number in numbers]
        # Else the client would learn of them one by one, with a pause for each.
        await client.set_topics(found)
        return found

    async def committed(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """What the group has told Kafka, where it has."""
        ordered = list(partitions)
        offsets = await asyncio.gather(*(self._reader.committed(at) for at in ordered))
        return {at: offset for at, offset in zip(ordered, offsets, strict=True) if offset}

    async def firsts(self, partitions: Iterable[TopicPartition]) -> Offsets:
        found: Offsets = await self._reader.beginning_offsets(list(partitions))
        return found

    async def ends(self, partitions: Iterable[TopicPartition]) -> Offsets:
        found: Offsets = await self._reader.end_offsets(list(partitions))
        return found

    async def read(self, ranges: Sequence[Range]) -> AsyncGenerator[list[Record], None]:
        """All records of the ranges, a bounded page at a time. Raises CannotAsk if none comes."""
        left = {part.at: part.end for part in ranges if part.first < part.end}
        if not left:
            return
        self._reader.assign(sorted(left))
        for part in ranges:
            if part.at in left:
                self._reader.seek(part.at, part.first)
        heard_ns = time.monotonic_ns()
        while left:
            pages = await self._reader.getmany(
                *left, timeout_ms=PAGE_WAIT_MS, max_records=PAGE_RECORDS
            )
            page: list[Record] = [
                record
                for at, records in pages.items()
                for record in records
                if record.offset < left[at]
            ]
            if page:
                heard_ns = time.monotonic_ns()
                yield page
            for at in list(left):
                if await self._reader.position(at) >= left[at]:
                    del left[at]
                    self._reader.pause(at)
            if time.monotonic_ns() - heard_ns > SILENCE_SECONDS_MAX * 1_000_000_000:
                raise CannotAsk(f"topic {min(left).topic} does not give its records")


@asynccontextmanager
async def open_topics(access: KafkaAccess, group_id: str) -> AsyncIterator[Topics]:
    """Raises CannotAsk while the brokers do not answer, OutputUnreadable where they refuse."""
    try:
        reader = await start(new_reader(access, group_id))
        try:
            yield Topics(reader)
        finally:
            await close_client(reader)
    except TopicAuthorizationFailedError as problem:
        raise unreadable(_names(problem), "read it").problem() from problem
    except (KafkaError, KafkaUnavailable, OSError, TimeoutError) as problem:
        text = str(problem) or type(problem).__name__
        raise CannotAsk(
            f"Kafka does not tell whether this database is older, so nothing is written: {text}"
        ) from problem


def _names(problem: TopicAuthorizationFailedError) -> str:
    """The client raises it with a topic's name, or with a set of them."""
    (first, *_) = problem.args or ("?",)
    return first if isinstance(first, str) else ", ".join(sorted(map(str, first)))
