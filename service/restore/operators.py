"""Shows an operator what the restore check finds, and carries out what the operator decides about
it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from ..database.actions import ActionRow, put_action
from ..database.outbox import Outputs
from ..database.session import Connection, Pool, statements
from ..runtime.problems import OperatorError
from ..settings.access import KafkaAccess
from .check import Answer, CheckTooSlow, RestoreCheck
from .findings import (
    ADVICE_OLDER,
    CannotAsk,
    Finding,
    FindingKind,
    TopicUnreadable,
    Verdict,
    read_verdict,
)
from .home import KafkaHome, move_home, read_home
from .known import Record, unknown
from .topics import Range, open_topics

SQL = statements("restore")
RECOVERY = statements("recovery")
CLEAR, ACCEPT, MOVE = "restore_check_clear", "restore_check_accept", "restore_check_move"
NOT_ACCEPTED = frozenset({FindingKind.READ_FURTHER, FindingKind.OTHER_KAFKA})


class Interrupted(OperatorError):
    """A recovery was begun and not ended, so an operator may not lift the verdict that forbids
    writing.
    """

    def __init__(self) -> None:
        super().__init__("a recovery was interrupted: `bursar-bridge recover` goes on with it")


class NotNew(OperatorError):
    """Existing topics can be accepted only for a database in which nothing was written yet, and
    this one was written to.
    """


class NotMoved(OperatorError):
    """The database cannot be declared to belong to another Kafka cluster or topic prefix now; the
    text says why.
    """


@dataclass(frozen=True, slots=True)
class State:
    """The stored verdict, and what the restore check finds now; `problem` says why the check cannot
    be made.
    """

    verdict: Verdict | None
    findings: Sequence[Finding]
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the service could start: there is no verdict, and the restore check finds
        nothing.
        """
        return self.verdict is None and not self.findings and self.problem is None


@dataclass(frozen=True, slots=True)
class Move:
    """The Kafka cluster and topic prefix of a database before and after a change by an operator;
    both are the same if nothing was changed.
    """

    before: KafkaHome
    after: KafkaHome


@dataclass(frozen=True, slots=True)
class PublishedManifest:
    """A published manifest; `is_known` is true if this database sealed exactly this batch."""

    manifest: Mapping[str, object]
    is_known: bool


async def read_state(pool: Pool, check: RestoreCheck) -> State:
    """Returns the stored verdict and what the restore check finds now; writes nothing.

    The verdict is returned even if the check cannot be made now, for example because Kafka does not
    answer.
    """
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        try:
            answer = await check.ask(connection)
        except TopicUnreadable as problem:
            return State(verdict, (Finding(FindingKind.UNREADABLE, str(problem)),))
        except (CannotAsk, CheckTooSlow) as problem:
            return State(verdict, (), str(problem))
    return State(verdict, answer.findings)


async def clear(
    pool: Pool, check: RestoreCheck, outputs: Outputs, operator: str, reason: str
) -> State:
    """If the restore check finds nothing now, lifts the verdict that forbids writing, and records
    the operator's decision; otherwise changes nothing.

    Returns the verdict as it was before, with what the check finds now. Raises Interrupted,
    CannotAsk, TopicUnreadable, CheckTooSlow, and what the database raises.
    """
    async with pool.acquire() as connection:
        verdict = await _read_verdict(connection)
        answer = await check.ask(connection)
        if not answer.findings and verdict is not None:
            async with connection.transaction():
                await connection.execute(SQL["clear_verdict"])
                detail = verdict.detail
                await _put_action(connection, outputs, CLEAR, operator, reason, detail)
    return State(verdict, answer.findings)


async def accept_move(
    pool: Pool, check: RestoreCheck, outputs: Outputs, operator: str, reason: str
) -> Move:
    """Stores that the database belongs to the Kafka cluster and topic prefix of the settings from
    now on, and records the operator's decision. Nothing else is changed by this decision, so the
    restore check still compares the offsets of the database with the topics.

    Raises NotMoved if the database belongs to no cluster yet, if a verdict is stored, which would
    mean nothing after the change, or if records wait in the outbox for topics of another prefix.
    Raises CannotAsk, and what the database raises.
    """
    async with pool.acquire() as connection:
        after = await check.home()
        async with connection.transaction():
            await connection.execute(SQL["lock_kafka_home"])
            before = await read_home(connection)
            if before is None:
                raise NotMoved("this database belongs to no Kafka cluster yet: start the service")
            if await read_verdict(connection) is not None:
                raise NotMoved(f"an older database was restored: {ADVICE_OLDER}")
            if before.topic_prefix != after.topic_prefix:
                await _require_empty_outbox(connection, before)
            if before != after:
                await move_home(connection, after)
                outcome = f"from {before} to {after}"
                await _put_action(connection, outputs, MOVE, operator, reason, outcome)
    return Move(before, after)


async def _require_empty_outbox(connection: Connection, home: KafkaHome) -> None:
    """Rows of the outbox have the full names of their topics."""
    if await connection.fetchval(SQL["has_unsent_records"]):
        raise NotMoved(
            f"the outbox holds records for topics with the prefix {home.topic_prefix}: start the "
            "service with this prefix until it has sent them, stop it, and try again"
        )


async def accept_existing_topics(
    pool: Pool, check: RestoreCheck, outputs: Outputs, operator: str, reason: str
) -> State:
    """Makes a new database begin behind the records that another database has left in the output
    topics, lifts a verdict, and records the operator's decision.

    Raises NotNew if anything was written to this database. Findings about the input topics are not
    accepted: the operator has to choose another consumer group, which reads the input topics from
    where the settings say.
    """
    async with pool.acquire() as connection:
        verdict = await _read_verdict(connection)
        if not await connection.fetchval(SQL["is_new"]):
            raise NotNew("--accept-existing-topics: is for a new database, this one was written to")
        answer = await check.ask(connection)
        left = [f for f in answer.findings if f.kind in NOT_ACCEPTED]
        if not left:
            await _accept(connection, outputs, answer, operator, reason)
    return State(verdict, left)


async def accept_foreign_records(
    pool: Pool, check: RestoreCheck, outputs: Outputs, operator: str, reason: str
) -> State:
    """Makes the restore check ignore the records that other programs have written into the output
    topics so far, lifts a verdict, and records the operator's decision. If the restore check finds
    anything else now, nothing is changed.

    Records of other programs do not show that the database is older: every record of this service
    carries a type of this service.
    """
    async with pool.acquire() as connection:
        verdict = await _read_verdict(connection)
        answer = await check.ask(connection, accepts_foreign=True)
        if not answer.findings:
            await _accept(connection, outputs, answer, operator, reason)
    return State(verdict, answer.findings)


async def published_manifests(
    connection: Connection, access: KafkaAccess, group_id: str, topic: str
) -> AsyncIterator[PublishedManifest]:
    """Returns every manifest in the topic `topic`, partition by partition. Raises CannotAsk."""
    async with open_topics(access, group_id) as topics:
        partitions = (await topics.partitions([topic])).get(topic, [])
        firsts, ends = await topics.firsts(partitions), await topics.ends(partitions)
        ranges = [Range(at, firsts[at], ends[at]) for at in partitions]
        async with aclosing(topics.read(ranges)) as pages:
            async for page in pages:
                places = {(r.partition, r.offset) for r in await unknown(connection, page)}
                for record in page:
                    if (manifest := _manifest(record)) is not None:
                        is_known = (record.partition, record.offset) not in places
                        yield PublishedManifest(manifest, is_known)


def _manifest(record: Record) -> Mapping[str, object] | None:
    """The manifest in a record; None if it is no JSON object, as another program writes it."""
    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


async def _read_verdict(connection: Connection) -> Verdict | None:
    """The verdict, which a person may lift unless a recovery was interrupted."""
    unfinished = await connection.fetchrow(RECOVERY["unfinished"])
    if unfinished is not None and unfinished["state"] == "adopting":
        raise Interrupted
    return await read_verdict(connection)


async def _accept(
    connection: Connection, outputs: Outputs, answer: Answer, operator: str, reason: str
) -> None:
    async with connection.transaction():
        for at, end in sorted(answer.ends.items()):
            await connection.execute(SQL["accept_output"], *at, end - 1)
            await connection.execute(SQL["accept_output_end"], *at, end - 1)
        await connection.execute(SQL["clear_verdict"])
        outcome = f"{sum(answer.ends.values())} offsets passed over"
        await _put_action(connection, outputs, ACCEPT, operator, reason, outcome)


async def _put_action(
    connection: Connection, outputs: Outputs, action: str, operator: str, reason: str, outcome: str
) -> None:
    subject = {"restore_check": action}
    row = ActionRow(action, None, subject, {}, reason, operator, outcome)
    await put_action(connection, outputs, row)
