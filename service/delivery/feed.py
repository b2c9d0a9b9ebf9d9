"""Reads the two topics of batches from where the state says."""

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
    """A topic ends before what was read of it: it is not the one that was read."""


class StateLost(OperatorError):
    """The group has read, and there is no state that says what was delivered."""


class Feed:
    """Reads all partitions of both topics without a group: one delivery, one reader.

    Methods that ask the brokers raise TimeoutError if there is no answer, and KafkaError.
    """

    def __init__(self, access: KafkaAccess, prefix: str, group_id: str) -> None:
        self._prefix = prefix
        self._topics = [prefix + kind for kind in RecordKind]
        self._access = access
        self._consumer = new_reader(access)
        self._group_offsets = GroupOffsets(access, group_id)

    async def open(self, positions: Positions) -> None:
        """Connects and reads on from `positions`.

        Raises KafkaUnavailable, OperatorError for a missing topic, TopicBehind.
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
        """Closes the clients, in whatever state they are."""
        await self._group_offsets.close()
        await close_client(self._consumer)

    async def committed(self) -> Positions:
        """The offsets that the group has committed for these topics; empty for none."""
        return _by_topic(await self._group_offsets.read(self._consumer.assignment()))

    def by_kind(self, positions: Positions) -> dict[RecordKind, Mapping[int, int]]:
        """Returns the positions by the kind of the records in the topic."""
        return {kind: positions.get(self._prefix + kind, {}) for kind in RecordKind}

    async def ends(self) -> Positions:
        """Where the topics end now."""
        offsets = await self._bounded(self._consumer.end_offsets(self._consumer.assignment()))
        return _by_topic(offsets)

    async def positions(
        self, first_unfinished: Callable[[RecordKind], Mapping[int, int]]
    ) -> Positions:
        """The next record of each partition that has to be read after a restart.

        `first_unfinished` returns by partition the first record of a kind that was read and is
        neither delivered nor dropped.
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
        """Whether everything before `ends` was read."""
        positions = await self.positions(lambda _: {})
        return all(
            positions[topic][partition] >= end
            for topic, offsets in ends.items()
            for partition, end in offsets.items()
        )

    async def past_manifests(self) -> AsyncIterator[list[BatchRecord]]:
        """All manifests that the topic holds now, from its start, by a reader of their own.

        Records that are no manifest are left out; the log names them when they are delivered.
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
        """The next records of these kinds, after at most `wait_ms`.

        A record that is no part of a batch is named in the log and ignored.
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
        whose position is lower already stays there.
        """
        for partition, offset in offsets.items():
            place = TopicPartition(self._prefix + kind, partition)
            position: int = await self._bounded(self._consumer.position(place))
            self._consumer.seek(place, min(offset, position))

    async def commit(self, positions: Positions) -> None:
        """Commits `positions` for the group. A failure is only logged."""
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
    """The committed offsets of a group without members: for tools and for a state that is lost.

    They have a client of their own. If the reader of the topics had the group, it would stand still
    while the group's coordinator is away, and could not be given further partitions.
    """

    def __init__(self, access: KafkaAccess, group_id: str) -> None:
        self._access = access
        self._group = group_id
        self._client: AIOKafkaConsumer | None = None

    async def read(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets of those partitions that have any. Raises KafkaError, Unavailable."""
        client = await self._opened(partitions)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            offsets = {partition: await client.committed(partition) for partition in partitions}
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    async def write(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commits the offsets. A failure is only logged: nothing depends on them with a state."""
        try:
            client = await self._opened(offsets)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await client.commit(dict(offsets))
        except (KafkaError, KafkaUnavailable, TimeoutError) as problem:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
            await self.close()

    async def close(self) -> None:
        """Closes the client, if there is one."""
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
