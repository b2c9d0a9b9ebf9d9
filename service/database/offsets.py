"""Stores the offsets of the input partitions in the database: the transaction that applies records
also moves the offset past them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..runtime.failures import Fenced
from .session import INLINE_RECORDS_MAX, Connection, statements

TopicAndPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A partition of an input topic that this process reads, and how far it has been read.

    `next_offset` is the offset of the next record to apply. `owner_epoch` grows each time a process
    takes the partition over, so that commits of an earlier owner fail. The two `last_record_...`
    fields describe the record that was read last; they are None if no record was read or its digest
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
    """Whether any topic is stopped, and whether any count of bad records in a row is stored
    (rules.md, 7); if not, a commit need not read those tables.
    """

    has_stops: bool
    has_counts: bool


NOT_ASKED = Marks(has_stops=True, has_counts=True)


async def known_topics(connection: Connection, topics: Collection[str]) -> frozenset[str]:
    """Returns those of `topics` for which the database has stored offsets, because the service has
    read them before.
    """
    rows = await connection.fetch(statements("offsets")["known_topics"], sorted(topics))
    return frozenset(row["topic"] for row in rows)


async def positions(connection: Connection, topics: Collection[str]) -> list[Assignment]:
    """Returns for each stored partition of `topics` the offset at which the service continues
    reading.
    """
    rows = await connection.fetch(statements("offsets")["positions"], sorted(topics))
    return [Assignment(*row.values()) for row in rows]


async def introduce(connection: Connection, starts: dict[TopicAndPartition, int]) -> None:
    """Inserts rows for all partitions of a topic that was never read before, each with the offset
    at which reading starts.

    Because every existing partition of the topic then has a row, a partition without a row is
    recognised later as one that was added to the topic.
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
    """Makes this process the owner of the partitions, and returns for each the offset at which it
    continues.

    A partition that has no row in the database is new and starts at offset 0. If the previous owner
    is just committing, the function waits for that commit, and the partition continues after its
    records.
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
    """Returns, for those of the partitions that still have to be read again after a recovery, the
    offset up to which they have to be read.
    """
    rows = await connection.fetch(
        statements("offsets")["marks_to_read"],
        [topic for topic, _ in partitions],
        [partition for _, partition in partitions],
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def advance(connection: Connection, steps: Sequence[Step], records: int) -> Marks:
    """Moves the stored offsets of the partitions from the first to the second assignment of each
    step, inside the caller's transaction.

    `records` is how many records the transaction applies; if they are many, PostgreSQL plans the
    statements of the transaction anew.

    Returns whether the commit has to read stops and counts of bad records; with no steps it has to
    read both. Raises Fenced if the stored offset or owner of a partition is not the one of the
    step, because another process owns the partition now.
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
        records > INLINE_RECORDS_MAX,
    )
    if len(moved) != len(ordered):
        raise Fenced(f"{len(ordered) - len(moved)} of {len(ordered)} partitions are not ours")
    return Marks(moved[0]["has_stops"], moved[0]["has_counts"])


def _place(assignment: Assignment) -> TopicAndPartition:
    return assignment.topic, assignment.partition
