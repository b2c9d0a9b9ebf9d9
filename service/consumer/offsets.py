"""Loading the offsets of an assignment: claimed in the database, compared with what Kafka says.

Whatever does not fit together stops the service with one line: going on would skip or double.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from ..database import offsets
from ..database.offsets import Assignment
from ..kafka.stops import OtherHistory, RecordsGone
from ..restore.findings import Finding, read_further
from ..restore.guard import Guard
from ..runtime.telemetry import Event, get_log
from .limits import IntakePauses
from .records import LastRecord

EMPTY_DIGEST = offsets.record_digest(None, None)
WRITER = "intake_offsets"  # of the process; the intake's polls are another writer's

LAG_RETRY_MS = 250

log = get_log(__name__)

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where each partition is read on, and the last record of each that is compared first."""

    assignments: Mapping[TopicPartition, Assignment]
    last_records: Mapping[TopicPartition, LastRecord]

    def start(self, at: TopicPartition) -> int:
        last_record = self.last_records.get(at)
        return self.assignments[at].next_offset if last_record is None else last_record.offset


class OffsetLoader:
    """For one consumer of the group `group_id`."""

    def __init__(
        self,
        guard: Guard,
        consumer: AIOKafkaConsumer,
        group_id: str,
        latest: bool,
        pauses: IntakePauses,
    ) -> None:
        self._guard = guard
        self._pool = guard.pool
        self._writer = guard.writer(WRITER)
        self._consumer = consumer
        self._group_id = group_id
        self._latest = latest
        self._pauses = pauses

    async def load(self, assigned: Collection[TopicPartition], committed: Offsets) -> Loaded:
        """Takes the partitions over. `committed`: what this very process has committed.

        Raises OlderDatabase, OtherHistory, RecordsGone; and whatever the database and the client
        raise while they are away.
        """
        await self._introduce({at.topic for at in assigned})
        async with self._writer.transaction() as connection:
            rows = await offsets.take_over(
                connection, [(at.topic, at.partition) for at in assigned]
            )
        claimed = {TopicPartition(row.topic, row.partition): row for row in rows}
        # Asked after taking over: from now on nobody else moves these rows.
        in_group = await self._in_group(claimed)
        ahead = {at: max(in_group.get(at, 0), committed.get(at, 0)) for at in claimed}
        findings = [
            self._further(at, ahead[at], row.next_offset)
            for at, row in claimed.items()
            if ahead[at] > row.next_offset
        ]
        if findings:
            async with self._pool.acquire() as connection:
                await self._guard.stop(connection, findings)
        firsts = await self._within_bounds(claimed)
        return Loaded(
            {at: _assignment(row) for at, row in claimed.items()},
            {
                at: found
                for at, row in claimed.items()
                if (found := _last_record(at, row, firsts[at]))
            },
        )

    async def _introduce(self, topics: Collection[str]) -> None:
        """A topic this database has never seen starts at the configured choice, all of it."""
        for topic in sorted(set(topics) - await self._known(topics)):
            partitions = self._consumer.partitions_for_topic(topic) or ()
            all_of_it = [TopicPartition(topic, partition) for partition in partitions]
            firsts = await self._consumer.beginning_offsets(all_of_it)
            in_group = await self._in_group(all_of_it)
            read = any(in_group.get(at, 0) > firsts[at] for at in all_of_it)
            # A rival that was faster may have introduced it, and read on, meanwhile.
            if read and topic not in await self._known([topic]):
                findings = [
                    self._further(at, in_group[at], firsts[at])
                    for at in all_of_it
                    if in_group.get(at, 0) > firsts[at]
                ]
                async with self._pool.acquire() as connection:
                    await self._guard.stop(connection, findings)
            starts = await self._consumer.end_offsets(all_of_it) if self._latest else firsts
            async with self._writer.transaction() as connection:
                await offsets.introduce(
                    connection, {(at.topic, at.partition): starts[at] for at in all_of_it}
                )
            start = "latest" if self._latest else "earliest"
            log.info(Event.TOPIC_FIRST_SEEN, topic=topic, start=start, partitions=len(all_of_it))

    def _further(self, at: TopicPartition, read_up_to: int, next_offset: int) -> Finding:
        return read_further(self._group_id, at, read_up_to, next_offset)

    async def _known(self, topics: Collection[str]) -> frozenset[str]:
        async with self._pool.acquire() as connection:
            return await offsets.known_topics(connection, topics)

    async def _in_group(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """What the group has told Kafka, where it has."""
        ordered = sorted(partitions)
        told = await asyncio.gather(*(self._consumer.committed(at) for at in ordered))
        return {at: offset for at, offset in zip(ordered, told, strict=True) if offset is not None}

    async def _within_bounds(self, claimed: Mapping[TopicPartition, Assignment]) -> Offsets:
        """The first offsets there are; raises if what comes next is not between first and end."""
        firsts: Offsets = await self._consumer.beginning_offsets(list(claimed))
        for at, row in claimed.items():
            if row.next_offset < firsts[at]:
                advice = "restore them, or accept the loss by updating consumer_offset"
                text = f"now starts at {firsts[at]}, records were deleted before they were read"
                raise RecordsGone(_line(at, text, row.next_offset, advice))
        for _ in range(self._pauses.lag_seconds_max * 1_000 // LAG_RETRY_MS):
            ends: Offsets = await self._consumer.end_offsets(list(claimed))
            beyond = [at for at, row in claimed.items() if row.next_offset > ends[at]]
            if not beyond:
                return firsts
            await asyncio.sleep(LAG_RETRY_MS / 1_000)
        advice = "restore it, or read it from its start by deleting its rows of consumer_offset"
        text = f"ends at {ends[beyond[0]]}, it was cut or made anew"
        raise OtherHistory(_line(beyond[0], text, claimed[beyond[0]].next_offset, advice))


def _assignment(row: Assignment) -> Assignment:
    return Assignment(row.topic, row.partition, row.next_offset, row.owner_epoch)


def _last_record(at: TopicPartition, row: Assignment, first: int) -> LastRecord | None:
    # One without key and value tells nothing, and it may be one that the client cannot hand out.
    if row.last_record_offset is None or row.last_record_digest in (None, EMPTY_DIGEST):
        return None
    assert row.last_record_digest is not None
    if row.last_record_offset < first:  # deleted by retention: nothing to compare with
        log.warning(Event.LAST_RECORD_GONE, topic=at.topic, partition=at.partition)
        return None
    return LastRecord(row.last_record_offset, row.last_record_digest, row.next_offset)


def _line(at: TopicPartition, text: str, next_offset: int, advice: str) -> str:
    where = f"topic {at.topic}, partition {at.partition}"
    return f"{where} {text}, this database goes on at {next_offset}: {advice}"
