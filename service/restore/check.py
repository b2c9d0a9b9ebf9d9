"""Is this database older than Kafka? Two witnesses are asked, by content (architecture.md).

The group's committed offsets: they are written after the database's commit, so they are never ahead
of the database that wrote them. The output topics: the offset of the last acknowledged record is
stored with the deletion of what was sent; whatever lies beyond it must be known here all the same,
since only a crash between the two can have left it there.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..database.session import Connection, statements
from ..kafka.clients import KafkaAccess
from ..kafka.stops import OlderDatabase
from .findings import (
    Finding,
    Sort,
    foreign_record,
    read_further,
    records_gone,
    unknown_record,
)
from .known import Record, claims_to_be_ours, unknown
from .topics import ANSWER_SECONDS_MAX, Range, Topics, open_topics

SQL = statements("restore")
# The newest records of a partition are looked at first: after a restore they are the unknown ones.
NEWEST_RECORDS = 5
# Of a topic that is shorter than what was acknowledged: it was made anew, so all of its records are
# of one time, and if that was after the backup none of them is known.
MADE_ANEW_RECORDS = 1_000
TOO_SLOW = (
    "the output topics hold more beyond the acknowledged offsets than can be compared in "
    "BURSAR_RESTORE_CHECK_SECONDS_MAX ({seconds})"
)

Offsets = Mapping[TopicPartition, int]


class CheckTooSlow(OlderDatabase):
    """More lies beyond the acknowledged offsets than can be compared in the time given.

    No verdict: nothing was found. But nothing is written either, with the same exit status.
    """


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: full topic names, and the group that reads the inputs."""

    group_id: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    seconds_max: int = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """`findings`: none if the database is not older. `ends` and `acknowledged` are of the outputs.

    A topic that is gone has no end; its acknowledged offsets are still there.
    """

    findings: tuple[Finding, ...]
    ends: Offsets
    acknowledged: Offsets

    @property
    def moved(self) -> Offsets:
        """Ends of the outputs that are not right behind what was acknowledged; 0: it is gone."""
        beyond = {
            at: end for at, end in self.ends.items() if end - 1 != self.acknowledged.get(at, -1)
        }
        return {**beyond, **self.behind}

    @property
    def behind(self) -> Offsets:
        """Outputs that end before what was acknowledged: made anew, or gone (0)."""
        return {
            at: self.ends.get(at, 0)
            for at, offset in self.acknowledged.items()
            if self.ends.get(at, 0) - 1 < offset
        }


async def _nothing() -> None:
    """Nobody wants to know how far the check is."""


class RestoreCheck:
    """Only reads. `progress` of `ask` is awaited after each page of records."""

    def __init__(self, access: KafkaAccess, scope: Scope) -> None:
        self._access = access
        self._scope = scope

    async def ask(
        self,
        connection: Connection,
        progress: Callable[[], Awaitable[None]] = _nothing,
        *,
        foreign_accepted: bool = False,
    ) -> Answer:
        """All of it over one connection: one database. At most one finding for each partition.

        `foreign_accepted`: records that do not claim to be of this service are passed over.

        Raises CannotAsk, OutputUnreadable, CheckTooSlow, and what the database raises.
        """
        scope = self._scope
        async with open_topics(self._access, scope.group_id) as topics:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                partitions = await topics.partitions([*scope.inputs, *scope.outputs])
                read = await self._read_further(connection, topics, partitions)
                # Before the ends: what is sent meanwhile is in the ledger when it is compared.
                acknowledged = await _offsets(connection, "output_offsets", scope.outputs)
                accepted = await _offsets(connection, "accepted_outputs", scope.outputs)
                outputs = [at for name in scope.outputs for at in partitions.get(name, ())]
                ends = await topics.ends(outputs) if outputs else {}
                written = [at for at in outputs if ends[at] > 0]
                firsts = await topics.firsts(written) if written else {}
            seen = Seen(acknowledged, accepted, ends, firsts)
            findings = [*read, *seen.gone()]
            if not findings:
                findings = await self._bounded(connection, topics, seen, progress)
            if foreign_accepted:
                findings = [one for one in findings if one.sort is not Sort.FOREIGN_RECORD]
        return Answer(tuple(findings), ends, acknowledged)

    async def _read_further(
        self,
        connection: Connection,
        topics: Topics,
        partitions: Mapping[str, list[TopicPartition]],
    ) -> list[Finding]:
        """The first witness. The group is asked first: it is never ahead of a later look here."""
        inputs = [at for name in self._scope.inputs for at in partitions.get(name, ())]
        committed = await topics.committed(inputs)
        kept = await _offsets(connection, "input_offsets", self._scope.inputs)
        known = {at.topic for at in kept}
        firsts = await topics.firsts([at for at in committed if at.topic not in known])
        goes_on = {at: kept.get(at, firsts.get(at, 0)) for at in committed}
        return [
            read_further(self._scope.group_id, at, committed[at], goes_on[at])
            for at in sorted(committed)
            if committed[at] > goes_on[at]
        ]

    async def _bounded(
        self,
        connection: Connection,
        topics: Topics,
        seen: "Seen",
        progress: Callable[[], Awaitable[None]],
    ) -> list[Finding]:
        """The second witness, within the time that was given."""
        ranges = seen.ranges()
        seconds = self._scope.seconds_max
        deadline = asyncio.get_running_loop().time() + seconds
        newest = [part._replace(first=_newest(part)) for part in ranges]
        rest = [part._replace(end=_newest(part)) for part in ranges]
        for parts in (newest, rest):
            findings: dict[TopicPartition, Finding] = {}
            async with contextlib.aclosing(topics.read(parts)) as pages:
                async for page in pages:
                    for record in await self._unknown(connection, page, seen):
                        at = TopicPartition(record.topic, record.partition)
                        finding = unknown_record if claims_to_be_ours(record) else foreign_record
                        findings.setdefault(at, finding(at, record.offset))
                    if findings and parts is rest:
                        break
                    await progress()
                    if asyncio.get_running_loop().time() > deadline:
                        raise CheckTooSlow(TOO_SLOW.format(seconds=seconds))
            if findings:
                return [findings[at] for at in sorted(findings)]
        return []

    async def _unknown(
        self, connection: Connection, page: Sequence[Record], seen: "Seen"
    ) -> list[Record]:
        """What nobody can explain. A relay that is at work may have acknowledged some meanwhile."""
        records = await unknown(connection, page)
        if not records:
            return []
        now = await _offsets(connection, "output_offsets", self._scope.outputs)
        return [record for record in records if seen.is_evidence(record, now)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The offsets of the output topics as they were read, one after the other."""

    acknowledged: Offsets
    accepted: Offsets
    ends: Offsets
    firsts: Offsets

    def gone(self) -> list[Finding]:
        """Records beyond what was acknowledged that were removed before anybody compared them."""
        return [
            records_gone(at, self.acknowledged.get(at, -1) + 1, first)
            for at, first in self.firsts.items()
            if first > self.acknowledged.get(at, -1) + 1
        ]

    def ranges(self) -> list[Range]:
        """What is compared of each partition: everything beyond the last acknowledged record.

        And that one as well. In a topic that was made anew after the backup its offset holds a
        record of the time that is missing, and so do all others.
        """
        return [
            Range(at, max(first, self._from(at)), self.ends[at])
            for at, first in self.firsts.items()
        ]

    def is_evidence(self, record: Record, now: Offsets) -> bool:
        """Whether a record that is not known here tells of an older database."""
        at = TopicPartition(record.topic, record.partition)
        if record.offset <= self.accepted.get(at, -1):
            return False  # a person has passed over it
        if record.offset <= self.acknowledged.get(at, -1):
            return claims_to_be_ours(record)  # else another program wrote it between ours
        return record.offset > now.get(at, -1)

    def _from(self, at: TopicPartition) -> int:
        acknowledged = self.acknowledged.get(at, -1)
        is_made_anew = self.ends[at] - 1 < acknowledged
        return self.ends[at] - MADE_ANEW_RECORDS if is_made_anew else max(acknowledged, 0)


def _newest(part: Range) -> int:
    return max(part.first, part.end - NEWEST_RECORDS)


async def _offsets(
    connection: Connection, statement: str, topics: Sequence[str]
) -> dict[TopicPartition, int]:
    rows = await connection.fetch(SQL[statement], list(topics))
    return {TopicPartition(row[0], row[1]): row[2] for row in rows}
