"""The outbox rows that are being sent: their order, their batches, and how far they were sent; uses
no input or output.

The records of an output partition are sent one batch after the other. Whatever happens to a batch,
no later batch of its partition is sent before it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2

# Upper bound of what Kafka's format adds to a record's key, value and packed headers.
RECORD_OVERHEAD_BYTES = 64
BATCH_BYTES_MIN = 16 * 1024


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
        """Ids of the rows that have nothing left to send."""
        return [row.id for row in rows if len(self._skipped(row)) == len(row.keys)]

    def stored(self, complete: Iterable[int]) -> None:
        """Notes that the database has stored everything and has deleted the rows `complete`."""
        for row in complete:
            self.finished.pop(row, None)
        for unstored in (self.acknowledged, self.quarantined, self.sent):
            unstored.clear()

    def left(
        self, rows: Iterable[Row], partitions: Mapping[str, int]
    ) -> dict[TopicPartition, list[OutboxRecord]]:
        """Returns the records that are left to send, by partition, in the order of the outbox.

        `partitions` has the number of partitions of each topic; topics that it does not have are
        left out.
        """
        left: dict[TopicPartition, list[OutboxRecord]] = {}
        for row in rows:
            if row.topic not in partitions:
                continue
            skipped = self._skipped(row)
            for place, (key, value, headers) in enumerate(
                zip(row.keys, row.values, row.headers, strict=True)
            ):
                if place not in skipped:
                    record_id = RecordId(row.id, place)
                    number = partition_of(key, record_id, partitions[row.topic])
                    size = len(key or b"") + len(value or b"") + len(headers)
                    record = OutboxRecord(
                        record_id, key, value, headers, size + RECORD_OVERHEAD_BYTES
                    )
                    left.setdefault(TopicPartition(row.topic, number), []).append(record)
        return left

    def _skipped(self, row: Row) -> set[int]:
        return self.finished.get(row.id, set()).union(row.quarantined)

    def _finish(self, record: RecordId) -> None:
        self.finished.setdefault(record.row, set()).add(record.place)
        self.suspects.discard(record)


def partition_of(key: bytes | None, record: RecordId, count: int) -> int:
    """The partition, of `count`, for a record with this key: as Java's producer chooses it.

    Without a key it depends on the place in the outbox, so that a second sending goes there too.
    """
    return (record.row + record.place if key is None else _positive_hash(key)) % count


def batches(
    records: Iterable[OutboxRecord], bytes_max: int, suspects: set[RecordId]
) -> Iterator[list[OutboxRecord]]:
    """Cuts the records of a partition into batches of at most `bytes_max` bytes.

    A record in `suspects`, and a record that is larger than `bytes_max`, is a batch of its own.
    """
    batch: list[OutboxRecord] = []
    batch_bytes = 0
    for record in records:
        is_suspect = record.id in suspects
        if batch and (is_suspect or batch_bytes + record.size > bytes_max):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(record)
        batch_bytes = bytes_max if is_suspect else batch_bytes + record.size
    if batch:
        yield batch


@lru_cache(maxsize=100_000)
def _positive_hash(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF
