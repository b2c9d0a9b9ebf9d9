"""Finds out whether the database was replaced by an older backup (architecture.md, "No commit on
top of an older ledger").

The check compares the database with two kinds of offsets in Kafka. First, the service commits
offsets of input topics for its consumer group only after the database has committed them; so if the
group is ahead of the database, the database is older. Second, whenever the relay has sent records,
one commit deletes them from the outbox and stores the offset of the last acknowledged record of
each output partition. The database must know each record beyond the stored offset: such a record is
there after a crash just before that commit, or is a copy that arrived late. If the database does
not know such a record, it is older, or another program has written the record.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from ..database.session import Connection, statements
from ..runtime.problems import OlderDatabase
from ..settings.access import KafkaAccess
from .findings import (
    Finding,
    FindingKind,
    foreign_record,
    other_kafka,
    read_further,
    records_gone,
    unknown_record,
)
from .home import KafkaHome, read_home
from .known import Record, has_our_type, unknown
from .topics import ANSWER_SECONDS_MAX, Range, Topics, open_topics

SQL = statements("restore")
# The newest records of a partition are compared first: after a restore they are the unknown ones.
NEWEST_RECORDS = 5
# Of a topic that is shorter than what was acknowledged: it was made anew, so all of its records are
# of one time, and if that was after the backup none of them is known.
MADE_ANEW_RECORDS = 1_000
TOO_SLOW = (
    "the output topics hold more beyond the acknowledged offsets than can be compared in "
    "BURSAR_RESTORE_CHECK_SECONDS_MAX ({seconds})"
)

Offsets = Mapping[TopicPartition, int]
Progress = Callable[[], Awaitable[None]]


class CheckTooSlow(OlderDatabase):
    """More output records are beyond the acknowledged offsets than can be compared in time.

    No verdict is stored when the check takes too long, because it has found nothing wrong. After a
    check that took too long, the process writes nothing, and ends as for an older database.
    """


@dataclass(frozen=True, slots=True)
class Scope:
    """What the check compares: the output topics, by their full names, and the group that reads the
    input topics.
    """

    group_id: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    seconds_max: int = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a check.

    `findings` are the signs that the database is older or that another program wrote into an output
    topic; it is empty if there are none. `ends` and `acknowledged` are the end of each output
    partition and its acknowledged offset. `home` is the Kafka cluster and topic prefix to which the
    settings lead. If the database belongs to another cluster or prefix, that is the only finding,
    and no offsets are compared.

    A topic that was deleted is missing in `ends`, and its offsets are still in `acknowledged`.
    """

    findings: tuple[Finding, ...]
    home: KafkaHome
    ends: Offsets
    acknowledged: Offsets

    @property
    def moved(self) -> Offsets:
        """The output partitions whose end is not directly behind the last acknowledged record, with
        their end offsets; 0 if the topic was deleted.
        """
        beyond = {
            at: end for at, end in self.ends.items() if end - 1 != self.acknowledged.get(at, -1)
        }
        return {**beyond, **self.behind}

    @property
    def behind(self) -> Offsets:
        """The output partitions (with their ends) that end before the last acknowledged record: the
        topic was created again, or deleted (then the end is 0).
        """
        return {
            at: self.ends.get(at, 0)
            for at, offset in self.acknowledged.items()
            if self.ends.get(at, 0) - 1 < offset
        }


async def no_progress() -> None:
    """Does nothing; the progress function of a check whose progress is not shown."""


class RestoreCheck:
    """Compares the database with Kafka; writes nothing."""

    def __init__(self, access: KafkaAccess, scope: Scope) -> None:
        self._access = access
        self._scope = scope

    async def ask(
        self,
        connection: Connection,
        progress: Progress = no_progress,
        *,
        accepts_foreign: bool = False,
    ) -> Answer:
        """Runs the whole check over one connection; returns at most one finding per partition.

        `progress` is awaited after each page of records. With `accepts_foreign`, records of other
        programs, which do not carry a type of this service, are ignored.

        Raises CannotAsk, TopicUnreadable, CheckTooSlow, and errors of the database.
        """
        scope = self._scope
        async with open_topics(self._access, scope.group_id) as topics:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                here = KafkaHome(await topics.cluster_id(), self._access.topic_prefix)
                home = await read_home(connection)
                if home is not None and home != here:
                    return Answer((other_kafka(home, here),), here, {}, {})
                partitions = await topics.partitions([*scope.inputs, *scope.outputs])
                findings = await self._read_further(connection, topics, partitions)
                # Before the ends: what is sent meanwhile is in the ledger when it is compared.
                acknowledged = await _offsets(connection, "output_offsets", scope.outputs)
                accepted = await _offsets(connection, "accepted_outputs", scope.outputs)
                outputs = [at for name in scope.outputs for at in partitions.get(name, ())]
                ends = await topics.ends(outputs) if outputs else {}
                written = [at for at in outputs if ends[at] > 0]
                firsts = await topics.firsts(written) if written else {}
            offsets = OutputOffsets(acknowledged, accepted, ends, firsts)
            findings += offsets.gone()
            if not findings:
                findings = await self._unknown_records(connection, topics, offsets, progress)
            if accepts_foreign:
                findings = [f for f in findings if f.kind is not FindingKind.FOREIGN_RECORD]
        return Answer(tuple(findings), here, ends, acknowledged)

    async def home(self) -> KafkaHome:
        """Returns the Kafka cluster and topic prefix of the settings. Raises CannotAsk."""
        async with (
            open_topics(self._access, self._scope.group_id) as topics,
            asyncio.timeout(ANSWER_SECONDS_MAX),
        ):
            return KafkaHome(await topics.cluster_id(), self._access.topic_prefix)

    async def require_home(self, connection: Connection) -> None:
        """Raises OtherKafka if the settings lead to another cluster or prefix than the database
        has, and CannotAsk.
        """
        here, home = await self.home(), await read_home(connection)
        if home is not None and home != here:
            raise other_kafka(home, here).error()

    async def _read_further(
        self,
        connection: Connection,
        topics: Topics,
        partitions: Mapping[str, list[TopicPartition]],
    ) -> list[Finding]:
        """Input partitions that the group has read further than this database.

        The group is asked before the database, which may move on between the two questions.
        """
        inputs = [at for name in self._scope.inputs for at in partitions.get(name, ())]
        committed = await topics.committed(inputs)
        stored = await _offsets(connection, "input_offsets", self._scope.inputs)
        known = {at.topic for at in stored}
        firsts = await topics.firsts([at for at in committed if at.topic not in known])
        next_offsets = {at: stored.get(at, firsts.get(at, 0)) for at in committed}
        return [
            read_further(self._scope.group_id, at, committed[at], next_offsets[at])
            for at in sorted(committed)
            if committed[at] > next_offsets[at]
        ]

    async def _unknown_records(
        self,
        connection: Connection,
        topics: Topics,
        offsets: "OutputOffsets",
        progress: Progress,
    ) -> list[Finding]:
        """Output records that this database did not publish, the newest ones first.

        Raises CheckTooSlow if they cannot be compared within the time that was given.
        """
        ranges = offsets.ranges()
        seconds = self._scope.seconds_max
        deadline = asyncio.get_running_loop().time() + seconds
        newest = [part._replace(first=_newest(part)) for part in ranges]
        rest = [part._replace(end=_newest(part)) for part in ranges]
        for parts in (newest, rest):
            findings: dict[TopicPartition, Finding] = {}
            async with contextlib.aclosing(topics.read(parts)) as pages:
                async for page in pages:
                    for record in await self._unexplained(connection, page, offsets):
                        at = TopicPartition(record.topic, record.partition)
                        finding = unknown_record if has_our_type(record) else foreign_record
                        findings.setdefault(at, finding(at, record.offset))
                    if findings and parts is rest:
                        break
                    await progress()
                    if asyncio.get_running_loop().time() > deadline:
                        raise CheckTooSlow(TOO_SLOW.format(seconds=seconds))
            if findings:
                return [findings[at] for at in sorted(findings)]
        return []

    async def _unexplained(
        self, connection: Connection, page: Sequence[Record], offsets: "OutputOffsets"
    ) -> list[Record]:
        """Records that are evidence; a relay may have acknowledged some of them meanwhile."""
        records = await unknown(connection, page)
        if not records:
            return []
        now = await _offsets(connection, "output_offsets", self._scope.outputs)
        return [record for record in records if offsets.is_evidence(record, now)]


@dataclass(frozen=True, slots=True)
class OutputOffsets:
    """The offsets of the output topics, in the database and in Kafka, at the start of a check."""

    acknowledged: Offsets
    accepted: Offsets
    ends: Offsets
    firsts: Offsets

    def gone(self) -> list[Finding]:
        """Returns findings for output records beyond the acknowledged offsets that Kafka has
        deleted before they could be compared.
        """
        return [
            records_gone(at, self.acknowledged.get(at, -1) + 1, first)
            for at, first in self.firsts.items()
            if first > self.acknowledged.get(at, -1) + 1
        ]

    def ranges(self) -> list[Range]:
        """Returns which records of each partition are compared: all from the last acknowledged
        record on, or the newest thousand of a topic that ends before that record.

        The last acknowledged record itself is compared as well: if the topic was created again
        after the backup, another record has its offset now.
        """
        return [
            Range(at, max(first, self._compared_from(at)), self.ends[at])
            for at, first in self.firsts.items()
        ]

    def is_evidence(self, record: Record, now: Offsets) -> bool:
        """Whether a record that this database does not know shows that the database is older.

        `now` are the database's acknowledged offsets after the record was read from Kafka.
        """
        at = TopicPartition(record.topic, record.partition)
        if record.offset <= self.accepted.get(at, -1):
            return False  # a person has passed over it
        if record.offset <= self.acknowledged.get(at, -1):
            return has_our_type(record)  # else another program wrote it between ours
        return record.offset > now.get(at, -1)

    def _compared_from(self, at: TopicPartition) -> int:
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
