"""What the relay reads from the database and stores in it: lease, pages, acknowledgements.

From the moment at which it takes the lease, the relay remembers which offsets were acknowledged,
and compares them with the database before it sends a page. Without this comparison, a relay under
which a backup is restored would send from the backup, and its next acknowledgement would move the
stored offsets beyond the records that show the restore.
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
    """A record in the outbox: the id of its row and its place in the row's arrays."""

    row: int
    place: int


class Row(NamedTuple):
    """A row of the outbox, as the statement `page` returns it.

    `keys`, `values` and `headers` have one item for each record. `quarantined` are the places of
    records that are not sent.
    """

    id: int
    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[bytes]
    recorded_at: datetime
    quarantined: Sequence[int]


class OutboxRecord(NamedTuple):
    """A record to send: `headers` packed as in the outbox, `size` in bytes as Kafka counts them."""

    id: RecordId
    key: bytes | None
    value: bytes | None
    headers: bytes
    size: int


@dataclass(slots=True)
class Progress:
    """What is known of rows that are still in the outbox; it is kept when a send or a commit fails.

    `finished` has the places that are acknowledged or in quarantine, by row. `acknowledged` (first
    and last offset of each partition), `quarantined` (rows of the table) and `sent` (records by
    topic) are what the database does not know yet.
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
        """Notes that the broker has the records. A negative offset means that the broker had them
        already and does not say at which offset.

        `last_offset` is the offset of the last of `records`.
        """
        for record in records:
            self._finish(record.id)
        self.sent[at.topic] += len(records)
        if last_offset >= 0:
            first, last = self.acknowledged.get(at, (last_offset - len(records) + 1, -1))
            self.acknowledged[at] = first, max(last_offset, last)

    def quarantine(self, row: Row, record: OutboxRecord, reason: str) -> None:
        """Notes that the broker refuses the record because of the record itself."""
        content = (record.key, record.value, record.headers)
        self.quarantined.append((*record.id, row.topic, *content, reason, row.recorded_at))
        self._finish(record.id)
        self.batch_bytes.pop(row.topic, None)  # it was the record, not the topic's limit

    def suspect(self, topic: str, records: Iterable[OutboxRecord], bytes_max: int) -> None:
        """Notes that a failure was caused by one of the records, or by the size of their batch.

        The records are sent one by one next time, and other records of the topic in smaller
        batches.
        """
        self.suspects.update(record.id for record in records)
        batch_bytes = self.batch_bytes.get(topic, bytes_max)
        self.batch_bytes[topic] = max(batch_bytes // 2, BATCH_BYTES_MIN)

    def complete(self, rows: Iterable[Row]) -> list[int]:
        """Returns the ids of those rows of which no record is left to send."""
        return [row.id for row in rows if len(self.skipped(row)) == len(row.keys)]

    def stored(self, complete: Iterable[int]) -> None:
        """Notes that the database has stored everything and has deleted the rows `complete`."""
        for row in complete:
            self.finished.pop(row, None)
        for unstored in (self.acknowledged, self.quarantined, self.sent):
            unstored.clear()

    def skipped(self, row: Row) -> set[int]:
        """Returns the places of a row that are not to be sent any more."""
        return self.finished.get(row.id, set()).union(row.quarantined)

    def _finish(self, record: RecordId) -> None:
        self.finished.setdefault(record.row, set()).add(record.place)
        self.suspects.discard(record)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How many rows wait in the outbox and how old the oldest is, by the database's clock; the age
    is 0 for an empty outbox.
    """

    rows_waiting: int
    oldest_row_age_seconds: int
    quarantined: int


class Outbox:
    """The outbox of one database, for the relay that holds `lease`."""

    def __init__(self, guard: Guard, lease: Lease) -> None:
        self._guard = guard
        self._lease = lease
        self._writer = guard.writer(WRITER)
        self._acknowledged: dict[TopicPartition, int] = {}

    async def begin(self, answer: Answer) -> None:
        """Takes over the result of the restore check: every record up to the ends of the output
        topics is known.

        These records therefore count as acknowledged. A copy that arrived late would otherwise have
        to be explained again at each check, which becomes impossible once retention has removed it.
        If a topic was created again, the offsets that were acknowledged in the old topic do not
        count.
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
        """The oldest rows of topics that are not blocked, at least one if there is one.

        Raises OlderDatabase if this is not the database that knows what was acknowledged, or
        AnotherServer if the restore check has to run first.
        """
        async with self._guard.pool.acquire() as connection:
            rows = await connection.fetch(SQL["page"], rows_max, bytes_max, list(blocked_topics))
            if rows:  # to be sent
                await self._guard.verify(connection)
                await self._verify_acknowledged(connection)
        return [Row(*row.values()) for row in rows]

    def gaps(self, progress: Progress) -> int:
        """Returns the partitions in which new records do not follow directly behind the last
        acknowledged one.

        The records between them are evidence that must not be ignored, and so are the records in a
        topic that was created again: the restore check has to explain them.
        """
        return sum(
            first != self._acknowledged.get(at, -1) + 1
            for at, (first, _) in progress.acknowledged.items()
        )

    async def store(self, rows: Sequence[Row], progress: Progress) -> None:
        """Deletes the rows that are complete and stores offsets and quarantine, in one commit.

        Raises LeaseLost if another relay has the lease.
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
        """Reads how many rows wait, how old the oldest is, and how many records are in quarantine.
        Raises errors of the database.
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
