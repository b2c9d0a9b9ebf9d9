"""Kafka offsets in the database: they move in the commit that applies the records, or never."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..runtime.failures import Fenced
from .session import Connection, statements

TopicAndPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class OffsetMove:
    """One partition's step. The last record is the one read last, applied or rejected alike."""

    topic: str
    partition: int
    expected: int
    next_offset: int
    owner_epoch: int
    last_record_offset: int
    last_record_digest: bytes


@dataclass(frozen=True, slots=True)
class Assignment:
    """A partition of an input topic that this process reads.

    `next_offset` is the offset of the next record to apply; `owner_epoch` numbers the owners of the
    partition. The last record is the one before `next_offset`; None if none was read or its digest
    is not known.
    """

    topic: str
    partition: int
    next_offset: int
    owner_epoch: int
    last_record_offset: int | None = None
    last_record_digest: bytes | None = None


def record_digest(key: bytes | None, value: bytes | None) -> bytes:
    """Tells one record from another at the same offset, as after a topic was made anew."""
    length = b"-" if key is None else str(len(key)).encode()
    tombstone = b"-" if value is None else b"+"
    return sha256(b"%s%s%s%s" % (length, tombstone, key or b"", value or b"")).digest()


async def known_topics(connection: Connection, topics: Collection[str]) -> frozenset[str]:
    """Those of `topics` that this database has read before."""
    rows = await connection.fetch(statements("offsets")["known_topics"], sorted(topics))
    return frozenset(row["topic"] for row in rows)


async def introduce(connection: Connection, starts: dict[TopicAndPartition, int]) -> None:
    """A topic seen for the first time: all its partitions, each with the offset it starts at.

    Whoever comes later finds the topic known, so a partition without a row is a new one.
    """
    rows = sorted(starts.items())
    await connection.execute(
        statements("offsets")["introduce"],
        [topic for (topic, _), _ in rows],
        [partition for (_, partition), _ in rows],
        [offset for _, offset in rows],
    )


async def take_over(
    connection: Connection, partitions: Collection[TopicAndPartition]
) -> tuple[Assignment, ...]:
    """Takes the partitions over, in key order; one without a row is new and starts at 0.

    Waits for the commit of an owner that is in the middle of one, and goes on behind it.
    """
    ordered = sorted(partitions)
    async with connection.transaction():
        await introduce(connection, dict.fromkeys(ordered, 0))
        rows = await connection.fetch(
            statements("offsets")["take_over"],
            [topic for topic, _ in ordered],
            [partition for _, partition in ordered],
        )
    assert len(rows) == len(ordered), "every partition that is taken over has a row"
    return tuple(sorted((Assignment(*row.values()) for row in rows), key=_place))


async def advance(connection: Connection, moves: Sequence[OffsetMove]) -> None:
    """Moves every partition, inside the caller's transaction, or raises Fenced."""
    if not moves:
        return
    ordered = sorted(moves, key=_place)
    moved = await connection.fetch(
        statements("offsets")["advance"],
        [move.topic for move in ordered],
        [move.partition for move in ordered],
        [move.expected for move in ordered],
        [move.next_offset for move in ordered],
        [move.owner_epoch for move in ordered],
        [move.last_record_offset for move in ordered],
        [move.last_record_digest for move in ordered],
    )
    if len(moved) != len(ordered):
        raise Fenced(f"{len(ordered) - len(moved)} of {len(ordered)} partitions are not ours")


def _place(value: OffsetMove | Assignment) -> TopicAndPartition:
    return value.topic, value.partition
