"""What the relay reads from the database and writes to it: rows of the outbox, acknowledged offsets
and the quarantine.

While it holds the lease, the relay remembers the offsets that the brokers have acknowledged, and
compares them with those in the database each time before it sends. Without comparing the offsets, a
relay that runs while an older backup is restored would send the backup's outbox. The next
acknowledgement would then raise the stored offsets above those records in the topics by which the
restore can be noticed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from aiokafka import TopicPartition

from ..database.session import Connection, statements
from ..restore.check import Answer
from ..restore.findings import acknowledgements_lost
from ..restore.guard import Guard
from ..runtime.telemetry import Event, get_log
from .lease import Lease

WRITER = "relay"
BATCH_BYTES_MIN = 16 * 1024
SQL = statements("outbox")

log = get_log(__name__)


class RecordId(NamedTuple):
    """Identifies a record in the outbox by the id of its row and its index in the row's arrays."""

    row: int
    place: int


class Row(NamedTuple):
    """A row of the outbox table, which has one or several records of one topic, as the SQL
    statement `page` returns it.

    `keys`, `values` and `headers` have one item for each record of the row. `quarantined` has the
    indexes of the row's records that are in the quarantine and are not sent.
    """

    id: int
    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[bytes]
    recorded_at: datetime
    quarantined: Sequence[int]


class OutboxRecord(NamedTuple):
    """A record to send; `headers` are packed as in the outbox, and `size` is the size in bytes by
    which Kafka limits records.
    """

    id: RecordId
    key: bytes | None
    value: bytes | None
    headers: bytes
    size: int


@dataclass(slots=True)
class Progress:
    """What the relay has done with rows that are still in the outbox; it is remembered even if a
    send or a commit fails.

    `finished` has, for each row, the indexes of the records that were acknowledged or put into
    quarantine. Three fields have what is not stored in the database yet: `acknowledged` the first
    and last acknowledged offset of each partition, `quarantined` the rows for the quarantine table,
    and `sent` the number of sent records by topic.
    """

    finished: dict[int, set[int]] = field(default_factory=dict)
    acknowledged: dict[TopicPartition, tuple[int, int]] = field(default_factory=dict)
    quarantined: list[tuple[object, ...]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    # Records of a batch that failed: one of them is the cause, so each is sent alone.
    suspects: set[RecordId] = field(default_factory=set)
    batch_bytes: dict[str, int] = field(default_factory=dict)  # of topics that take less than usual

    def acknowledge(
        self, at: TopicPartition, records: Sequence[OutboxRecord], last_offset: int
    ) -> None:
        """Remembers that the broker has acknowledged the records, until `Outbox.store` writes that
        to the database.

        `last_offset` is the offset of the last of these records in the partition. A negative
        `last_offset` means that the broker had the records already and does not say at which
        offset.
        """
        for (row, place), *_ in records:
            self.finished.setdefault(row, set()).add(place)
        if self.suspects:
            self.suspects.difference_update(record.id for record in records)
        self.sent[at.topic] += len(records)
        if last_offset >= 0:
            first, last = self.acknowledged.get(at, (last_offset - len(records) + 1, -1))
            self.acknowledged[at] = first, max(last_offset, last)

    def quarantine(self, row: Row, record: OutboxRecord, reason: str) -> None:
        """Remembers that the broker refuses the record because of the record itself, such as its
        size.

        `Outbox.store` moves the refused record to the quarantine table later.
        """
        content = (record.key, record.value, record.headers)
        self.quarantined.append((*record.id, row.topic, *content, reason, row.recorded_at))
        self.finished.setdefault(record.id.row, set()).add(record.id.place)
        self.suspects.discard(record.id)
        self.batch_bytes.pop(row.topic, None)  # it was the record, not the topic's limit

    def suspect(self, topic: str, records: Iterable[OutboxRecord], bytes_max: int) -> None:
        """Remembers that sending these records together failed, because of one of them or because
        of their total size.

        Next time these records are sent one by one, and other records of the topic in smaller
        batches.
        """
        self.suspects.update(record.id for record in records)
        batch_bytes = self.batch_bytes.get(topic, bytes_max)
        self.batch_bytes[topic] = max(batch_bytes // 2, BATCH_BYTES_MIN)

    def complete(self, rows: Iterable[Row]) -> list[int]:
        """Returns the ids of those rows of which every record was acknowledged or put into
        quarantine.
        """
        return [row.id for row in rows if len(self.skipped(row)) == len(row.keys)]

    def stored(self, complete: Iterable[int]) -> None:
        """Forgets the acknowledgements that the database has by now, and the rows `complete`, which
        were deleted from the database.
        """
        for row in complete:
            self.finished.pop(row, None)
        for unstored in (self.acknowledged, self.quarantined, self.sent):
            unstored.clear()

    def skipped(self, row: Row) -> set[int]:
        """Returns the indexes of the row's records that must not be sent any more."""
        return self.finished.get(row.id, set()).union(row.quarantined)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The number of rows in the outbox, the age of the oldest by the database's clock (0 if the
    outbox is empty), and the number of records in quarantine.
    """

    rows_waiting: int
    oldest_row_age_seconds: int
    quarantined: int


class Outbox:
    """Access to the outbox of one database for the relay that holds `lease`."""

    def __init__(self, guard: Guard, lease: Lease) -> None:
        self._guard = guard
        self._lease = lease
        self._writer = guard.writer(WRITER)
        self._acknowledged: dict[TopicPartition, int] = {}

    async def begin(self, answer: Answer) -> None:
        """Takes the result of the restore check, which has shown that this database knows every
        record in the output topics.

        Therefore every record that is in the output topics at this moment counts as acknowledged.
        If these records did not count as acknowledged, a second copy of a record that arrived late
        would have to be explained at each later restore check; that is impossible once Kafka's
        retention has deleted the copy. If a topic was deleted and created again, the offsets that
        were acknowledged in the old topic are dropped.
        """
        self._acknowledged = dict(answer.acknowledged)
        for at, end in answer.behind.items():
            log.error(
                Event.OUTPUT_TOPIC_BEHIND, topic=at.topic, partition=at.partition, end_offset=end
            )
        compared = {at: end - 1 for at, end in answer.moved.items()}
        if compared:
            async with self._writer.transaction() as connection:
                for at, offset in sorted(compared.items()):
                    await connection.execute(SQL["set_acknowledged"], *at, offset)
            self._acknowledged |= compared

    async def page(
        self, rows_max: int, bytes_max: int, blocked_topics: Collection[str]
    ) -> list[Row]:
        """Returns the oldest rows of the outbox within the two limits, but at least one if there is
        any; leaves out the rows of `blocked_topics`.

        Raises OlderDatabase if the database has lower acknowledged offsets than this relay
        remembers, or AnotherServer if the connection leads to another database than before, so that
        the restore check has to run first.
        """
        async with self._guard.pool.acquire() as connection:
            rows = await connection.fetch(SQL["page"], rows_max, bytes_max, list(blocked_topics))
            if rows:  # to be sent
                await self._guard.verify(connection)
                await self._verify_acknowledged(connection)
        return [Row(*row.values()) for row in rows]

    def gaps(self, progress: Progress) -> int:
        """Returns the number of partitions in which the newly acknowledged records do not directly
        follow the last acknowledged one before them.

        A gap in the acknowledged offsets of a partition means that somebody else has written to the
        topic, or that the topic was created again; then the caller runs the restore check, which
        has to explain the records.
        """
        return sum(
            first != self._acknowledged.get(at, -1) + 1
            for at, (first, _) in progress.acknowledged.items()
        )

    async def store(self, rows: Sequence[Row], progress: Progress) -> None:
        """Deletes the rows that are completely sent, and stores the acknowledged offsets and the
        records for the quarantine, in one commit.

        Raises LeaseLost, and commits nothing, if another relay has taken the lease.
        """
        complete = progress.complete(rows)
        async with self._writer.transaction() as connection:
            await self._lease.renew_on(connection)
            await connection.executemany(SQL["put_in_quarantine"], progress.quarantined)
            await self._store_offsets(connection, progress)
            await connection.execute(SQL["delete"], complete)
        self._acknowledged |= {at: last for at, (_, last) in progress.acknowledged.items()}
        progress.stored(complete)

    async def status(self) -> OutboxStatus:
        """Reads the number of rows in the outbox, the age of the oldest, and the number of records
        in quarantine. Raises the errors of the database.
        """
        async with self._guard.pool.acquire() as connection:
            row = await connection.fetchrow(SQL["waiting"])
        assert row is not None
        return OutboxStatus(*row.values())

    async def _verify_acknowledged(self, connection: Connection) -> None:
        rows = await connection.fetch(SQL["acknowledged"])
        recorded = {TopicPartition(row[0], row[1]): row[2] for row in rows}
        findings = [
            acknowledgements_lost(at, offset, recorded.get(at))
            for at, offset in self._acknowledged.items()
            if recorded.get(at, -1) < offset
        ]
        if findings:
            await self._guard.stop(connection, findings)

    async def _store_offsets(self, connection: Connection, progress: Progress) -> None:
        moves = sorted(progress.acknowledged.items())
        for at, (first, _) in moves:
            # A partition that gives an offset out again is of a topic that was made anew.
            if first <= self._acknowledged.get(at, -1):
                await connection.execute(SQL["set_acknowledged"], *at, -1)
        await connection.execute(
            SQL["acknowledge"],
            [at.topic for at, _ in moves],
            [at.partition for at, _ in moves],
            [last for _, (_, last) in moves],
        )
