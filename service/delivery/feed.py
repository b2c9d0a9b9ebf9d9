"""Reads the two Kafka topics of batches, from the offsets in the delivery's state file on."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import suppress
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from ..kafka.clients import KafkaUnavailable, close_client, new_reader, start
from ..runtime.problems import OperatorError
from ..runtime.telemetry import Event, get_log
from ..settings.access import KafkaAccess
from .records import BatchRecord, InvalidBatchRecord, RecordKind, batch_record
from .state import Place

log = get_log(__name__)

R = TypeVar("R")

ANSWER_SECONDS_MAX = 30
PAST_WAIT_MS = 500
PAST_RECORDS_MAX = 100
Positions = Mapping[str, Mapping[int, int]]  # offsets by topic and partition


class TopicBehind(OperatorError):
    """A topic ends before the offset up to which the delivery has read: it was made anew or cut."""


class StateLost(OperatorError):
    """The state file with what was delivered is gone, but this delivery has read records before."""


class Feed:
    """Reads all partitions of both topics without a consumer group: a delivery has one reader only.

    Methods that ask the brokers raise KafkaError, or TimeoutError if no broker answers in time.
    """

    def __init__(self, access: KafkaAccess, prefix: str, group_id: str) -> None:
        self._prefix = prefix
        self._topics = [prefix + kind for kind in RecordKind]
        self._access = access
        self._consumer = new_reader(access)
        self._group_offsets = GroupOffsets(access, group_id)

    async def open(self, positions: Positions) -> None:
        """Connects to the brokers and moves each partition to its offset in `positions`.

        Raises KafkaUnavailable, TopicBehind, and OperatorError if a topic does not exist.
        """
        await self.close()  # what an attempt that failed left open
        self._consumer = await start(new_reader(self._access))
        if missing := sorted(set(self._topics) - await self._bounded(self._consumer.topics())):
            topics = ", ".join(missing)
            raise OperatorError(f"{topics}: must exist: run `bursar-bridge topics create`")
        # The client knows the partitions of topics it was asked about, and of no others.
        await self._bounded(
            self._consumer.end_offsets([TopicPartition(topic, 0) for topic in self._topics])
        )
        await self._assign(positions)

    async def close(self) -> None:
        """Closes the connections to the brokers, even if they have failed."""
        await self._group_offsets.close()
        await close_client(self._consumer)

    async def committed(self) -> Positions:
        """Returns the offsets that the consumer group has committed for these topics, if any."""
        return _by_topic(await self._group_offsets.read(self._consumer.assignment()))

    def by_kind(self, positions: Positions) -> dict[RecordKind, Mapping[int, int]]:
        """Returns the same positions under the kind of record instead of the topic's name."""
        return {kind: positions.get(self._prefix + kind, {}) for kind in RecordKind}

    async def ends(self) -> Positions:
        """Returns the present end offset of each partition of the two topics."""
        offsets = await self._bounded(self._consumer.end_offsets(self._consumer.assignment()))
        return _by_topic(offsets)

    async def positions(
        self, first_unfinished: Callable[[RecordKind], Mapping[int, int]]
    ) -> Positions:
        """Returns for each partition the offset from which a restarted delivery has to read.

        `first_unfinished` returns for a kind of record, by partition, the lowest offset that was
        read and whose record is neither delivered nor dropped.
        """
        unfinished = {self._prefix + kind: first_unfinished(kind) for kind in RecordKind}
        positions: dict[str, dict[int, int]] = {topic: {} for topic in self._topics}
        for topic, partition in sorted(self._consumer.assignment()):
            position = await self._bounded(
                self._consumer.position(TopicPartition(topic, partition))
            )
            first = unfinished[topic].get(partition, position)
            positions[topic][partition] = min(position, first)
        return positions

    async def is_at(self, ends: Positions) -> bool:
        """Returns whether all records before the offsets `ends` have been read."""
        positions = await self.positions(lambda _: {})
        return all(
            positions[topic][partition] >= end
            for topic, offsets in ends.items()
            for partition, end in offsets.items()
        )

    async def past_manifests(self) -> AsyncIterator[list[BatchRecord]]:
        """Yields all manifests that are in the topic now, by a Kafka client of its own.

        Records that are not manifests are left out without a message: `poll` logs them when it
        reads them.
        """
        topic = self._prefix + RecordKind.MANIFEST
        assigned = [partition for partition in self._partitions() if partition.topic == topic]
        reader = await start(new_reader(self._access))
        try:
            reader.assign(assigned)
            first = await self._bounded(reader.beginning_offsets(assigned))
            for partition, offset in first.items():
                reader.seek(partition, offset)
            ends = await self._bounded(reader.end_offsets(assigned))
            while await self._is_before(reader, ends):
                yield await self._bounded(self._next_manifests(reader, ends))
        finally:
            await close_client(reader)

    async def _next_manifests(
        self, reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> list[BatchRecord]:
        """Waits for some, or for the end; the caller bounds the wait for a broker that is away."""
        while await self._is_before(reader, ends):
            polled = await reader.getmany(timeout_ms=PAST_WAIT_MS, max_records=PAST_RECORDS_MAX)
            if polled:
                return [manifest for records in polled.values() for manifest in _manifests(records)]
        return []

    async def _is_before(
        self, reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> bool:
        for partition, end in ends.items():
            if await self._bounded(reader.position(partition)) < end:
                return True
        return False

    async def poll(
        self, kinds: Iterable[RecordKind], wait_ms: int, records_max: int
    ) -> list[BatchRecord]:
        """Returns the next records of these kinds, and waits for them for at most `wait_ms`.

        A record that does not belong to a batch is logged and left out.
        """
        if set(self._partitions()) - self._consumer.assignment():  # a topic was given more
            await self._assign_from_here()
        topics = {self._prefix + kind for kind in kinds}
        asked = [
            partition for partition in self._consumer.assignment() if partition.topic in topics
        ]
        try:
            polled = await self._consumer.getmany(
                *asked, timeout_ms=wait_ms, max_records=records_max
            )
        except OffsetOutOfRangeError:  # deleted before it was read, or a topic made anew
            await self._assign_from_here()
            return []
        parsed = [self._parse(record) for records in polled.values() for record in records]
        return [record for record in parsed if record is not None]

    def _parse(self, record: ConsumerRecord) -> BatchRecord | None:
        kind = RecordKind(record.topic.removeprefix(self._prefix))
        place = Place(record.partition, record.offset)
        try:
            return batch_record(kind, place, record.headers, record.value)
        except InvalidBatchRecord as problem:
            text = str(problem)
        where = {"topic": record.topic, "partition": place.partition, "offset": place.offset}
        log.error(Event.RECORD_NOT_DELIVERED, **where, text=text)
        return None

    async def rewind(self, kind: RecordKind, offsets: Mapping[int, int]) -> None:
        """Moves partitions back to `offsets`, so that their records are read again. A partition
        that stands at a lower offset already is not moved.
        """
        for partition, offset in offsets.items():
            place = TopicPartition(self._prefix + kind, partition)
            position: int = await self._bounded(self._consumer.position(place))
            self._consumer.seek(place, min(offset, position))

    async def commit(self, positions: Positions) -> None:
        """Commits `positions` for the consumer group; a failure is only logged."""
        await self._group_offsets.write(
            {
                TopicPartition(topic, partition): offset
                for topic, partitions in positions.items()
                for partition, offset in partitions.items()
            }
        )

    async def _assign(self, positions: Positions) -> None:
        assigned = self._partitions()
        self._consumer.assign(assigned)
        first = await self._bounded(self._consumer.beginning_offsets(assigned))
        ends = await self._bounded(self._consumer.end_offsets(assigned))
        for partition in assigned:
            position = positions.get(partition.topic, {}).get(partition.partition, 0)
            if position > ends[partition]:
                raise TopicBehind(
                    f"{partition.topic}, partition {partition.partition}: ends before what was "
                    "read of it; a topic that was made anew needs a state of its own (--state, "
                    "--group)"
                )
            # A batch that retention deleted unread is noticed by its number, which is missing.
            self._consumer.seek(partition, max(position, first[partition]))

    async def _assign_from_here(self) -> None:
        await self._assign(await self.positions(lambda _: {}))

    def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]

    async def _bounded(self, work: Awaitable[R]) -> R:
        return await asyncio.wait_for(work, ANSWER_SECONDS_MAX)


def _by_topic(offsets: Mapping[TopicPartition, int]) -> Positions:
    positions: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in offsets.items():
        positions.setdefault(topic, {})[partition] = offset
    return positions


def _manifests(records: Iterable[ConsumerRecord]) -> Iterator[BatchRecord]:
    for record in records:
        place = Place(record.partition, record.offset)
        with suppress(InvalidBatchRecord):
            yield batch_record(RecordKind.MANIFEST, place, record.headers, record.value)


class GroupOffsets:
    """Reads and writes the committed offsets of a consumer group without members. Kafka's tools
    show these offsets, and they help if the state file is lost.

    The class has its own Kafka client. If the client that reads the topics were in the group, it
    would stop while the group's coordinator is unreachable, and could not be given further
    partitions.
    """

    def __init__(self, access: KafkaAccess, group_id: str) -> None:
        self._access = access
        self._group = group_id
        self._client: AIOKafkaConsumer | None = None

    async def read(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the committed offsets of the partitions that have one. Raises KafkaError,
        Unavailable.
        """
        client = await self._opened(partitions)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            offsets = {partition: await client.committed(partition) for partition in partitions}
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    async def write(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commits the offsets. A failure is only logged: the delivery reads on from its state."""
        try:
            client = await self._opened(offsets)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await client.commit(dict(offsets))
        except (KafkaError, KafkaUnavailable, TimeoutError) as problem:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
            await self.close()

    async def close(self) -> None:
        """Closes the Kafka client if one was opened."""
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    async def _opened(self, partitions: Collection[TopicPartition]) -> AIOKafkaConsumer:
        if self._client is not None and set(partitions) - self._client.assignment():
            await self.close()
        if self._client is None:
            client = new_reader(self._access, self._group)
            client.assign(list(partitions))
            self._client = await start(client)
        return self._client
