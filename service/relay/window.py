"""A window of outbox rows: what is sent where and in which order, and what has become of it. Pure.

A *lane* is an output partition. Records of a lane go one batch after the other: whatever happens to
one, none behind it is sent first.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from aiokafka.partitioner import murmur2

# Upper bound of what Kafka's format adds to a record's key, value and packed headers.
RECORD_OVERHEAD_BYTES = 64
BATCH_BYTES_MIN = 16 * 1024

Lane = tuple[str, int]


class Place(NamedTuple):
    """A record in the outbox: its row's id and its place in the row's arrays."""

    row: int
    place: int


class Row(NamedTuple):
    """A row as it was read; `set_aside` are the places that are not to be sent."""

    id: int
    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[bytes]
    recorded_at: datetime
    set_aside: Sequence[int]


class Outgoing(NamedTuple):
    """A record on its way; `headers` as they lie in the outbox."""

    at: Place
    key: bytes | None
    value: bytes | None
    headers: bytes
    size: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record the broker refuses for its own sake."""

    topic: str
    record: Outgoing
    reason: str
    recorded_at: datetime

    def columns(self) -> tuple[object, ...]:
        """As the table outbox_set_aside has them."""
        record = self.record
        what = (record.key, record.value, record.headers)
        return (*record.at, self.topic, *what, self.reason, self.recorded_at)


@dataclass(slots=True)
class Progress:
    """What is known of rows that are still in the outbox: survives a failed send or commit."""

    done: dict[int, set[int]] = field(default_factory=dict)  # places by row
    offsets: dict[Lane, int] = field(default_factory=dict)  # the last acknowledged one
    firsts: dict[Lane, int] = field(default_factory=dict)  # the first one since the last settling
    aside: list[SetAside] = field(default_factory=list)
    singly: set[Place] = field(default_factory=set)  # in a refused batch: one of them is to blame
    batch_bytes: dict[str, int] = field(default_factory=dict)  # where a topic takes less than usual
    sent: Counter[str] = field(default_factory=Counter)  # records by topic, since the last settling

    def acknowledge(self, lane: Lane, records: Sequence[Outgoing], last_offset: int) -> None:
        for record in records:
            self._finish(record.at)
        self.sent[lane[0]] += len(records)
        if last_offset < 0:  # the broker knew the records and did not say where they are
            return
        self.firsts.setdefault(lane, last_offset - len(records) + 1)
        self.offsets[lane] = max(last_offset, self.offsets.get(lane, -1))

    def set_aside(self, row: SetAside) -> None:
        self.aside.append(row)
        self._finish(row.record.at)
        self.batch_bytes.pop(row.topic, None)  # it was the record, not the topic's limit

    def suspect(self, topic: str, records: Iterable[Outgoing], bytes_max: int) -> None:
        """One of these is to blame, or all together: next time one by one, then smaller batches."""
        self.singly.update(record.at for record in records)
        held = self.batch_bytes.get(topic, bytes_max)
        self.batch_bytes[topic] = max(held // 2, BATCH_BYTES_MIN)

    def complete(self, rows: Iterable[Row]) -> list[int]:
        """Ids of the rows that have nothing left to send."""
        return [
            row.id
            for row in rows
            if len(self.done.get(row.id, set()).union(row.set_aside)) == len(row.keys)
        ]

    def settled(self, rows: Iterable[int]) -> None:
        """The database knows it all now."""
        for row in rows:
            self.done.pop(row, None)
        self.offsets.clear()
        self.firsts.clear()
        self.aside.clear()
        self.sent.clear()

    def _finish(self, at: Place) -> None:
        self.done.setdefault(at.row, set()).add(at.place)
        self.singly.discard(at)


def lanes(
    rows: Iterable[Row], partitions: Mapping[str, int], done: Mapping[int, set[int]]
) -> dict[Lane, list[Outgoing]]:
    """What is left to send, by lane, in the outbox's order. `partitions`: how many a topic has.

    Topics without an entry there are left out.
    """
    found: dict[Lane, list[Outgoing]] = {}
    for row in rows:
        count = partitions.get(row.topic)
        if count is None:
            continue
        skip = done.get(row.id, set()).union(row.set_aside)
        for place, (key, value, headers) in enumerate(
            zip(row.keys, row.values, row.headers, strict=True)
        ):
            if place in skip:
                continue
            at = Place(row.id, place)
            lane = (row.topic, partition_of(key, at, count))
            size = len(key or b"") + len(value or b"") + len(headers) + RECORD_OVERHEAD_BYTES
            found.setdefault(lane, []).append(Outgoing(at, key, value, headers, size))
    return found


def partition_of(key: bytes | None, at: Place, count: int) -> int:
    """As Java's producer partitions keys; without a key by place, the same whenever it is sent."""
    return (at.row + at.place if key is None else _positive_hash(key)) % count


def batches(
    records: Iterable[Outgoing], bytes_max: int, singly: set[Place]
) -> Iterator[list[Outgoing]]:
    """Cuts a lane's records below a size; those under suspicion and larger ones stand alone."""
    batch: list[Outgoing] = []
    held = 0
    for record in records:
        alone = record.at in singly
        if batch and (alone or held + record.size > bytes_max):
            yield batch
            batch, held = [], 0
        batch.append(record)
        held = bytes_max if alone else held + record.size
    if batch:
        yield batch


@lru_cache(maxsize=100_000)
def _positive_hash(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF
