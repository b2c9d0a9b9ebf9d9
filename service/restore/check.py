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

from service.database.pool import Connection
from service.database.statements import statements
from service.kafka.clients import KafkaAccess
from service.problems import OperatorError
from service.restore.findings import Finding, read_further, records_gone, unknown_record
from service.restore.known import Record, unknown
from service.restore.topics import ANSWER_SECONDS_MAX, Range, Topics, open_topics

SQL = statements("restore")
# The newest records of a partition are looked at first: after a restore they are the unknown ones.
NEWEST_RECORDS = 5
TOO_SLOW = (
    "the output topics hold more beyond the acknowledged offsets than can be compared in "
    "BURSAR_RESTORE_CHECK_SECONDS_MAX ({seconds})"
)

Offsets = Mapping[TopicPartition, int]


class CheckTooSlow(OperatorError):
    """More lies beyond the acknowledged offsets than can be compared in the time given."""


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
        self, connection: Connection, progress: Callable[[], Awaitable[None]] = _nothing
    ) -> Answer:
        """All of it over one connection: one database. At most one finding for each partition.

        Raises CannotAsk, OutputUnreadable, CheckTooSlow, and what the database raises.
        """
        scope = self._scope
        async with open_topics(self._access, scope.group_id) as topics:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                partitions = await topics.partitions([*scope.inputs, *scope.outputs])
                read = await self._read_further(connection, topics, partitions)
                # Before the ends: what is sent meanwhile is in the ledger when it is compared.
                acknowledged = await _offsets(connection, "output_offsets", scope.outputs)
                outputs = [at for name in scope.outputs for at in partitions.get(name, ())]
                ends = await topics.ends(outputs) if outputs else {}
                beyond = [at for at in outputs if ends[at] - 1 > acknowledged.get(at, -1)]
                firsts = await topics.firsts(beyond) if beyond else {}
            ranges = [Range(at, acknowledged.get(at, -1) + 1, ends[at]) for at in beyond]
            gone = [
                records_gone(part.at, part.first, firsts[part.at])
                for part in ranges
                if firsts[part.at] > part.first
            ]
            findings = [*read, *gone]
            if not findings:
                findings = await self._bounded(connection, topics, ranges, progress)
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
        ranges: Sequence[Range],
        progress: Callable[[], Awaitable[None]],
    ) -> list[Finding]:
        """The second witness, within the time that was given."""
        seconds = self._scope.seconds_max
        deadline = asyncio.get_running_loop().time() + seconds
        newest = [part._replace(first=_newest(part)) for part in ranges]
        rest = [part._replace(end=_newest(part)) for part in ranges]
        for parts in (newest, rest):
            findings: dict[TopicPartition, Finding] = {}
            async with contextlib.aclosing(topics.read(parts)) as pages:
                async for page in pages:
                    for record in await self._unknown(connection, page):
                        at = TopicPartition(record.topic, record.partition)
                        findings.setdefault(at, unknown_record(at, record.offset))
                    if findings and parts is rest:
                        break
                    await progress()
                    if asyncio.get_running_loop().time() > deadline:
                        raise CheckTooSlow(TOO_SLOW.format(seconds=seconds))
            if findings:
                return [findings[at] for at in sorted(findings)]
        return []

    async def _unknown(self, connection: Connection, page: Sequence[Record]) -> list[Record]:
        """A relay that is at work may have acknowledged them since the offsets were read."""
        records = await unknown(connection, page)
        if not records:
            return []
        now = await _offsets(connection, "output_offsets", self._scope.outputs)
        return [
            record
            for record in records
            if record.offset > now.get(TopicPartition(record.topic, record.partition), -1)
        ]


def _newest(part: Range) -> int:
    return max(part.first, part.end - NEWEST_RECORDS)


async def _offsets(
    connection: Connection, statement: str, topics: Sequence[str]
) -> dict[TopicPartition, int]:
    rows = await connection.fetch(SQL[statement], list(topics))
    return {TopicPartition(row[0], row[1]): row[2] for row in rows}
