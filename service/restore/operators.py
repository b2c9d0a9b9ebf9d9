"""What an operator is shown of the restore check, and what an operator may decide."""

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
    OutputUnreadable,
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
    """A recovery was begun and not ended, so that the verdict must stand."""

    def __init__(self) -> None:
        super().__init__("a recovery was interrupted: `bursar-bridge recover` goes on with it")


class NotNew(OperatorError):
    """Existing topics can be accepted for a database in which nothing was written yet."""


class NotMoved(OperatorError):
    """The topics of a database cannot be declared to be elsewhere now; the text says why."""


@dataclass(frozen=True, slots=True)
class State:
    """The stored verdict, and what the check finds now; `problem` says why it cannot be asked."""

    verdict: Verdict | None
    findings: Sequence[Finding]
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the service could start."""
        return self.verdict is None and not self.findings and self.problem is None


@dataclass(frozen=True, slots=True)
class Move:
    """The home of a database before and after a move; both are the same if there was none."""

    before: KafkaHome
    after: KafkaHome


@dataclass(frozen=True, slots=True)
class PublishedManifest:
    """A manifest as it was published; `is_known`: this database sealed that very batch."""

    manifest: Mapping[str, object]
    is_known: bool


async def read_state(pool: Pool, check: RestoreCheck) -> State:
    """The verdict, and what the check finds now; only reads.

    The verdict is returned even if nothing can be compared now.
    """
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        try:
            answer = await check.ask(connection)
        except OutputUnreadable as problem:
            return State(verdict, (Finding(FindingKind.UNREADABLE, str(problem)),))
        except (CannotAsk, CheckTooSlow) as problem:
            return State(verdict, (), str(problem))
    return State(verdict, answer.findings)


async def clear(
    pool: Pool, check: RestoreCheck, outputs: Outputs, operator: str, reason: str
) -> State:
    """Takes the verdict back and records the decision, if the check finds nothing now; else nothing
    is changed.

    Returns the verdict as it was, with what the check finds. Raises Interrupted, CannotAsk,
    OutputUnreadable, CheckTooSlow, and what the database raises.
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
    """Makes the database belong to the cluster and the prefix of the settings from now on, and
    records the decision. Nothing else is changed, so that the check goes on to compare the
    offsets of the database with the topics.

    Raises NotMoved if the database belongs to no cluster yet, if there is a verdict, which the move
    would make meaningless, or if records wait in the outbox for topics of another prefix. Raises
    CannotAsk, and what the database raises.
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
    """Makes a new database begin behind the records that the output topics hold of another
    database, takes a verdict back, and records the decision.

    Raises NotNew if anything was written to this database. Findings about the input topics are not
    accepted: choose another group, which reads the topics from where the settings say.
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
    """Makes the check ignore the records that other programs have written so far, takes a verdict
    back, and records the decision. If the check finds anything else now, nothing is changed.

    Such records are no evidence, because every record of this service carries a type of this
    service.
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
