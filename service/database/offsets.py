"""Offsets of the input partitions: they move in the commit that applies the records."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..runtime.failures import Fenced
from .session import Connection, statements

TopicAndPartition = tuple[str, int]


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


Step = tuple[Assignment, Assignment]  # an assignment before and after a commit


class Marks(NamedTuple):
    """Whether any topic is stopped, and whether bad records are counted (rules.md, 7)."""

    has_stops: bool
    has_counts: bool


NOT_ASKED = Marks(has_stops=True, has_counts=True)


async def known_topics(connection: Connection, topics: Collection[str]) -> frozenset[str]:
    """Returns those of `topics` that this database has read before."""
    rows = await connection.fetch(statements("offsets")["known_topics"], sorted(topics))
    return frozenset(row["topic"] for row in rows)


async def positions(connection: Connection, topics: Collection[str]) -> list[Assignment]:
    """Returns where this database goes on in each partition of `topics` that it has read before."""
    rows = await connection.fetch(statements("offsets")["positions"], sorted(topics))
    return [Assignment(*row.values()) for row in rows]


async def introduce(connection: Connection, starts: dict[TopicAndPartition, int]) -> None:
    """Inserts all partitions of a new topic, each with the offset at which it starts.

    Afterwards the topic is known, so that a partition without a row is a new partition.
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
    """Makes this process the owner of the partitions and returns where each continues.

    A partition without a row is new and starts at 0. If another owner is about to commit, the
    function waits for that commit and continues behind it.
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


async def marks_to_read(
    connection: Connection, partitions: Collection[TopicAndPartition]
) -> dict[TopicAndPartition, int]:
    """Returns how far those of the partitions have to be read that a recovery reads again and that
    have not been read so far.
    """
    rows = await connection.fetch(
        statements("offsets")["marks_to_read"],
        [topic for topic, _ in partitions],
        [partition for _, partition in partitions],
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def advance(connection: Connection, steps: Sequence[Step]) -> Marks:
    """Moves the offset of every partition, inside the caller's transaction.

    Returns what else the commit has to ask for: everything if no offset moves. Raises Fenced if a
    partition is not where its step begins: another process owns it now.
    """
    if not steps:
        return NOT_ASKED
    ordered = sorted(steps, key=lambda step: _place(step[0]))
    moved = await connection.fetch(
        statements("offsets")["advance"],
        [before.topic for before, _ in ordered],
        [before.partition for before, _ in ordered],
        [before.next_offset for before, _ in ordered],
        [after.next_offset for _, after in ordered],
        [before.owner_epoch for before, _ in ordered],
        [after.last_record_offset for _, after in ordered],
        [after.last_record_digest for _, after in ordered],
    )
    if len(moved) != len(ordered):
        raise Fenced(f"{len(ordered) - len(moved)} of {len(ordered)} partitions are not ours")
    return Marks(moved[0]["has_stops"], moved[0]["has_counts"])


def _place(assignment: Assignment) -> TopicAndPartition:
    return assignment.topic, assignment.partition
