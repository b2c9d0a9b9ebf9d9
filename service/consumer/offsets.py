"""The offsets of the partitions that are assigned to this process: it loads them from the database,
compares them with Kafka, and commits them to Kafka. The command `bursar-bridge check` compares the
offsets of all partitions with Kafka by the same functions.

The offsets in the database, and not those in Kafka, decide where reading continues. If the offsets
in the database do not fit the topics in Kafka, the service stops with one line of explanation,
because it would otherwise skip records or apply them twice.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ..core.ledger import record_digest
from ..database import offsets
from ..database.offsets import Assignment
from ..database.session import Pool
from ..restore.findings import read_further
from ..restore.guard import Guard
from ..restore.known import Record
from ..restore.topics import Range, Topics, open_topics
from ..runtime.problems import OtherHistory, RecordsGone
from ..runtime.telemetry import Event, get_log
from ..settings.access import KafkaAccess
from .group import IntakePauses, Source

EMPTY_DIGEST = record_digest(None, None)
WRITER = "intake_offsets"  # of the process; the intake's polls are another writer's
LAG_RETRY_MS = 250
CHECK_LAG_SECONDS_MAX = 2  # of `bursar-bridge check`, which a person awaits
LAST_COMMIT_SECONDS_MAX = 2

log = get_log(__name__)

Offsets = Mapping[TopicPartition, int]


class Loaded(NamedTuple):
    """The partitions that this process has taken over, with their offsets. While a restored
    database is recovered, `marks` has the offset up to which each partition still has to be read
    again.
    """

    assignments: Mapping[TopicPartition, Assignment]
    marks: Offsets


class OffsetLoader:
    """Makes this process the owner of its assigned partitions in the database, and loads their
    offsets.
    """

    def __init__(
        self, guard: Guard, consumer: AIOKafkaConsumer, source: Source, pauses: IntakePauses
    ) -> None:
        self._guard = guard
        self._writer = guard.writer(WRITER)
        self._consumer = consumer
        self._source = source
        self._pauses = pauses

    async def load(self, assigned: Collection[TopicPartition], committed: Offsets) -> Loaded:
        """Makes this process the owner of the assigned partitions, so that commits of earlier
        owners fail, and returns their offsets. `committed` has the offsets that this process has
        committed before; if the database now has lower ones, an older database was restored.

        A returned assignment names the partition's last read record only if Kafka still has that
        record, with a key or a value, so that it can be compared.

        Raises OlderDatabase, OtherHistory, RecordsGone; and the errors of the database and the
        Kafka client if these cannot be reached.
        """
        await self._introduce({at.topic for at in assigned})
        # Before the database is: until the answer comes, another process may take over and read on.
        in_group = await self._committed_by_group(assigned)
        async with self._writer.transaction() as connection:
            rows = await offsets.take_over(connection, assigned)
            marks = await offsets.marks_to_read(connection, assigned)
        assignments = {TopicPartition(row.topic, row.partition): row for row in rows}
        read_up_to = {at: max(in_group.get(at, 0), committed.get(at, 0)) for at in assignments}
        next_offsets = {at: row.next_offset for at, row in assignments.items()}
        await self._require_not_ahead(read_up_to, next_offsets)
        topics = Topics(self._consumer)
        firsts = await first_offsets(topics, next_offsets, self._pauses.lag_seconds_max)
        return Loaded(
            {at: comparable(row, firsts[at]) for at, row in assignments.items()},
            {TopicPartition(*at): mark for at, mark in marks.items()},
        )

    async def _introduce(self, topics: Collection[str]) -> None:
        """A topic this database has never seen starts at the configured choice, all of it."""
        is_latest = self._source.start_at_latest
        for topic in sorted(set(topics) - await self._known(topics)):
            partitions = [
                TopicPartition(topic, number)
                for number in self._consumer.partitions_for_topic(topic) or ()
            ]
            firsts: Offsets = await self._consumer.beginning_offsets(partitions)
            in_group = await self._committed_by_group(partitions)
            is_read = any(in_group.get(at, 0) > firsts[at] for at in partitions)
            # A rival that was faster may have introduced it, and read on, meanwhile.
            if is_read and topic not in await self._known({topic}):
                await self._require_not_ahead(in_group, firsts)
            starts = await self._consumer.end_offsets(partitions) if is_latest else firsts
            async with self._writer.transaction() as connection:
                await offsets.introduce(connection, {at: starts[at] for at in partitions})
            start = "latest" if is_latest else "earliest"
            log.info(Event.TOPIC_FIRST_SEEN, topic=topic, start=start, partitions=len(partitions))

    async def _require_not_ahead(self, read_up_to: Offsets, next_offsets: Offsets) -> None:
        """Raises OlderDatabase if a partition was read further than the database says."""
        findings = [
            read_further(self._source.group_id, at, offset, next_offsets[at])
            for at, offset in read_up_to.items()
            if offset > next_offsets[at]
        ]
        if findings:
            async with self._guard.pool.acquire() as connection:
                await self._guard.stop(connection, findings)

    async def _known(self, topics: Collection[str]) -> frozenset[str]:
        async with self._guard.pool.acquire() as connection:
            return await offsets.known_topics(connection, topics)

    async def _committed_by_group(self, partitions: Collection[TopicPartition]) -> Offsets:
        """The offsets that the group has committed to Kafka, of those partitions where it has."""
        committed = await asyncio.gather(*(self._consumer.committed(at) for at in partitions))
        return {
            at: offset
            for at, offset in zip(partitions, committed, strict=True)
            if offset is not None
        }


async def require_continuation(
    pool: Pool, access: KafkaAccess, group_id: str, names: Sequence[str]
) -> None:
    """Checks that reading can continue: compares the topics in Kafka with the offsets and last
    records in this database. Ignores topics that do not exist or were never read.

    Raises OtherHistory and RecordsGone where the service would stop at its start, and CannotAsk,
    TopicUnreadable and the errors of the database if nothing can be compared.
    """
    async with open_topics(access, group_id) as topics:
        # The offsets before the ends: a service that runs reads on meanwhile.
        async with pool.acquire() as connection:
            rows = await offsets.positions(connection, names)
        known = {TopicPartition(row.topic, row.partition): row for row in rows}
        partitions = await topics.partitions(names)
        assignments = {
            at: known.get(at) or Assignment(at.topic, at.partition, next_offset=0, owner_epoch=0)
            for topic in {row.topic for row in rows}
            for at in partitions.get(topic, ())
        }
        if not assignments:
            return
        next_offsets = {at: row.next_offset for at, row in assignments.items()}
        firsts = await first_offsets(topics, next_offsets, CHECK_LAG_SECONDS_MAX)
        last_offsets = {
            at: comparable(row, firsts[at]).last_record_offset for at, row in assignments.items()
        }
        ranges = [
            Range(at, last, last + 1) for at, last in last_offsets.items() if last is not None
        ]
        async with aclosing(topics.read(ranges)) as pages:
            async for page in pages:
                for record in page:
                    at = TopicPartition(record.topic, record.partition)
                    has_last_record([record], assignments[at])


def has_last_record(records: Iterable[Record], assignment: Assignment) -> bool:
    """Whether `records` has the last record that this service has read from the partition.

    Raises OtherHistory if a record with other content has the offset of that last record, because
    then the topic was created anew.
    """
    for record in records:
        if record.offset == assignment.last_record_offset:
            if record_digest(record.key, record.value) != assignment.last_record_digest:
                raise OtherHistory(
                    f"topic {record.topic}, partition {record.partition}, offset {record.offset}: "
                    "another record than the one that was read there; the topic was made anew. "
                    "Restore it, or read it from its start by deleting its rows of consumer_offset"
                )
            return True
    return False


async def first_offsets(topics: Topics, next_offsets: Offsets, lag_seconds_max: int) -> Offsets:
    """Returns the first offset that each partition still has.

    After a broker's fail-over the end of a partition may seem lower than it is; the function waits
    up to `lag_seconds_max` seconds until it is right. Raises RecordsGone if the next offset to read
    lies before a partition's first record, and OtherHistory if it lies behind the partition's end.
    """
    firsts = await topics.firsts(next_offsets)
    for at, next_offset in next_offsets.items():
        if next_offset < firsts[at]:
            advice = "restore them, or accept the loss by updating consumer_offset"
            text = f"now starts at {firsts[at]}, records were deleted before they were read"
            raise RecordsGone(_message(at, text, next_offset, advice))
    for _ in range(lag_seconds_max * 1_000 // LAG_RETRY_MS):
        ends = await topics.ends(next_offsets)
        beyond = [at for at, offset in next_offsets.items() if offset > ends[at]]
        if not beyond:
            return firsts
        await asyncio.sleep(LAG_RETRY_MS / 1_000)
    advice = "restore it, or read it from its start by deleting its rows of consumer_offset"
    text = f"ends at {ends[beyond[0]]}, it was cut or made anew"
    raise OtherHistory(_message(beyond[0], text, next_offsets[beyond[0]], advice))


def comparable(row: Assignment, first: int) -> Assignment:
    """Returns the assignment; the last read record is left out of it if Kafka has deleted that
    record, or if the record has no key and no value to compare.
    """
    # One without key and value tells nothing, and it may be one that the client cannot return.
    is_distinct = row.last_record_digest not in (None, EMPTY_DIGEST)
    if is_distinct and row.last_record_offset is not None:
        if row.last_record_offset >= first:
            return row
        # Retention has deleted it: there is nothing to compare with.
        log.warning(Event.LAST_RECORD_GONE, topic=row.topic, partition=row.partition)
    return replace(row, last_record_offset=None, last_record_digest=None)


def _message(at: TopicPartition, text: str, next_offset: int, advice: str) -> str:
    place = f"topic {at.topic}, partition {at.partition}"
    return f"{place} {text}, this database goes on at {next_offset}: {advice}"


class OffsetCommits:
    """Commits to Kafka the offsets that the database has committed, so that monitoring tools can
    show the lag and the restore check can compare the two.

    The service never continues reading from the offsets in Kafka; it only uses them to notice that
    an older database was restored. The offsets are committed in the background, one commit at a
    time; a newer offset of a partition replaces one that is not committed yet.
    """

    def __init__(self, consumer: AIOKafkaConsumer, interval_ms: int) -> None:
        self._consumer = consumer
        self._interval_ms = interval_ms
        self._waiting: dict[TopicPartition, int] = {}
        self._has_more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, at: TopicPartition, next_offset: int) -> None:
        """Notes that the database has committed all records of a partition before `next_offset`,
        which is then committed to Kafka.
        """
        self._waiting[at] = next_offset
        self._has_more.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def drop(self) -> None:
        """Forgets the offsets that are not committed to Kafka yet, because another process may have
        the partitions now.
        """
        self._waiting.clear()

    async def close(self) -> bool:
        """Commits the offsets that are not committed to Kafka yet, within a limited time; returns
        False if the broker does not answer.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            async with asyncio.timeout(LAST_COMMIT_SECONDS_MAX):
                await self._commit()
        except TimeoutError:
            log.warning(Event.OFFSET_COMMIT_FAILED, problem="TimeoutError")
            return False
        return True

    async def _run(self) -> None:
        while True:
            await self._has_more.wait()
            await asyncio.sleep(self._interval_ms / 1_000)
            self._has_more.clear()
            await self._commit()

    async def _commit(self) -> None:
        assigned = self._consumer.assignment()
        committed = {at: offset for at, offset in self._waiting.items() if at in assigned}
        self._waiting.clear()
        if committed:
            try:
                await self._consumer.commit(committed)
            except KafkaError as problem:  # the next commit says more than this one would have
                log.warning(Event.OFFSET_COMMIT_FAILED, problem=type(problem).__name__)
                self._waiting = committed | self._waiting
