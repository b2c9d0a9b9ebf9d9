"""The two topics of batches, read from where the state says; the group is told alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from ..kafka.clients import KafkaAccess, close_client, new_reader, start
from ..runtime.problems import OperatorError
from ..runtime.telemetry import Event, get_log
from .marks import GroupMarks
from .records import Half, Kind, NoBatch, half_of
from .state import Place

log = get_log(__name__)

R = TypeVar("R")

ANSWER_SECONDS_MAX = 30
PAST_WAIT_MS = 500
PAST_RECORDS_MAX = 100
Positions = Mapping[str, Mapping[int, int]]


class TopicBehind(OperatorError):
    """A topic ends before what was read of it: it is not the one that was read."""


class StateLost(OperatorError):
    """The group has read, and there is no state that says what was delivered."""


class Feed:
    """Reads all partitions of both topics itself: one delivery, one reader, no rebalance."""

    def __init__(self, access: KafkaAccess, prefix: str, group_id: str) -> None:
        self._topics = {prefix + kind: kind for kind in Kind}
        self._access = access
        self._consumer = new_reader(access)
        self._marks = GroupMarks(access, group_id)

    async def open(self, positions: Positions) -> None:
        """Raises KafkaUnavailable, OperatorError for a missing topic, TopicBehind."""
        await self.close()  # after a try that failed
        self._consumer = await start(new_reader(self._access))
        there = await self._bounded(self._consumer.topics())
        if missing := sorted(self._topics.keys() - there):
            topics = ", ".join(missing)
            raise OperatorError(f"{topics}: must exist: run `bursar-bridge topics create`")
        # The client knows the partitions of topics it was asked about, and of no others.
        asked = [TopicPartition(topic, 0) for topic in self._topics]
        await self._bounded(self._consumer.end_offsets(asked))
        await self._assign(positions)

    async def close(self) -> None:
        await self._marks.close()
        await close_client(self._consumer)

    async def committed(self) -> Positions:
        """What this group has read of these topics before, by topic; empty: nothing."""
        found: dict[str, dict[int, int]] = {}
        for one, offset in (await self._marks.read(self._consumer.assignment())).items():
            found.setdefault(one.topic, {})[one.partition] = offset
        return found

    def by_kind(self, positions: Positions) -> dict[Kind, Mapping[int, int]]:
        return {kind: positions.get(topic, {}) for topic, kind in self._topics.items()}

    async def positions_at_end(self) -> Positions:
        """Where the topics end now, by topic."""
        ends: dict[str, dict[int, int]] = {}
        for one, offset in (await self.ends()).items():
            ends.setdefault(one.topic, {})[one.partition] = offset
        return ends

    async def ends(self) -> dict[TopicPartition, int]:
        """Where the topics end now."""
        found = await self._bounded(self._consumer.end_offsets(self._consumer.assignment()))
        return dict(found)

    async def positions(self, held: Callable[[Kind], Mapping[int, int]]) -> Positions:
        """The next record of each partition that has to be read, by topic.

        `held`: by partition the first record of a kind that was read and is not done with.
        """
        found: dict[str, dict[int, int]] = {topic: {} for topic in self._topics}
        for topic, kind in self._topics.items():
            first = held(kind)
            for one in sorted(one for one in self._consumer.assignment() if one.topic == topic):
                position: int = await self._bounded(self._consumer.position(one))
                found[topic][one.partition] = min(position, first.get(one.partition, position))
        return found

    async def is_at(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether everything up to there was read."""
        at = await self.positions(lambda _: {})
        return all(at[one.topic][one.partition] >= end for one, end in ends.items())

    async def past_manifests(self) -> AsyncIterator[list[Half]]:
        """All manifests that the topic holds now, from its start, by a reader of their own.

        What is no manifest is left out: it is told when it is read in its turn.
        """
        assigned = [one for one in self._there() if self._topics[one.topic] is Kind.MANIFEST]
        reader = await start(new_reader(self._access))
        try:
            reader.assign(assigned)
            for one, offset in (await self._bounded(reader.beginning_offsets(assigned))).items():
                reader.seek(one, offset)
            ends = await self._bounded(reader.end_offsets(assigned))
            while await self._is_before(reader, ends):
                yield await self._bounded(self._next_manifests(reader, ends))
        finally:
            await close_client(reader)

    async def _next_manifests(
        self, reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> list[Half]:
        """Waits until there are some, or none are left: a broker that is away ends its bound."""
        while await self._is_before(reader, ends):
            polled = await reader.getmany(timeout_ms=PAST_WAIT_MS, max_records=PAST_RECORDS_MAX)
            if polled:
                return [half for records in polled.values() for half in _manifests(records)]
        return []

    async def _is_before(
        self, reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
    ) -> bool:
        for place, end in ends.items():
            if await self._bounded(reader.position(place)) < end:
                return True
        return False

    async def poll(self, kinds: Iterable[Kind], wait_ms: int, records_max: int) -> list[Half]:
        """The next records of these kinds; one that is no batch is told in the log and left."""
        await self._watch_partitions()
        wanted = set(kinds)
        asked = [one for one in self._consumer.assignment() if self._topics[one.topic] in wanted]
        try:
            polled = await self._consumer.getmany(
                *asked, timeout_ms=wait_ms, max_records=records_max
            )
        except OffsetOutOfRangeError:  # deleted before it was read, or a topic made anew
            await self._assign_from_here()
            return []
        read = [self._read(record) for records in polled.values() for record in records]
        return [half for half in read if half is not None]

    def _read(self, record: ConsumerRecord) -> Half | None:
        place = Place(record.partition, record.offset)
        try:
            return half_of(self._topics[record.topic], place, record.headers, record.value)
        except NoBatch as problem:
            text = str(problem)
        told = {"topic": record.topic, "partition": place.partition, "offset": place.offset}
        log.error(Event.RECORD_NOT_DELIVERED, **told, text=text)
        return None

    async def rewind(self, kind: Kind, offsets: Mapping[int, int]) -> None:
        """Reads these partitions again from there, or from further back: never forward."""
        for topic in (topic for topic, own in self._topics.items() if own is kind):
            for partition, offset in offsets.items():
                place = TopicPartition(topic, partition)
                position: int = await self._bounded(self._consumer.position(place))
                self._consumer.seek(place, min(offset, position))

    async def tell(self, positions: Positions) -> None:
        """The group's offsets, best effort."""
        await self._marks.write(
            {
                TopicPartition(topic, partition): offset
                for topic, partitions in positions.items()
                for partition, offset in partitions.items()
            }
        )

    async def _assign(self, positions: Positions) -> None:
        assigned = self._there()
        self._consumer.assign(assigned)
        first = await self._bounded(self._consumer.beginning_offsets(assigned))
        ends = await self._bounded(self._consumer.end_offsets(assigned))
        for one in assigned:
            position = positions.get(one.topic, {}).get(one.partition, 0)
            if position > ends[one]:
                raise TopicBehind(
                    f"{one.topic}, partition {one.partition}: ends before what was read of it; "
                    "a topic that was made anew needs a state of its own (--state, --group)"
                )
            # What retention deleted unread is found by its number: it is missing in its chain.
            self._consumer.seek(one, max(position, first[one]))

    async def _watch_partitions(self) -> None:
        """A topic may have been given more partitions."""
        if set(self._there()) - self._consumer.assignment():
            await self._assign_from_here()

    async def _assign_from_here(self) -> None:
        await self._assign(await self.positions(lambda _: {}))

    def _there(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]

    async def _bounded(self, work: Awaitable[R]) -> R:
        return await asyncio.wait_for(work, ANSWER_SECONDS_MAX)


def _manifests(records: Iterable[ConsumerRecord]) -> Iterator[Half]:
    for record in records:
        place = Place(record.partition, record.offset)
        with suppress(NoBatch):  # the log names such a record when it is read in its turn
            yield half_of(Kind.MANIFEST, place, record.headers, record.value)
