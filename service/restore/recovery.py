"""Makes a restored database continue where the lost database had stopped (architecture.md,
"Recovery of a restored database").

Each step of a recovery is a commit of its own and may be repeated: a recovery that was interrupted
goes on when the command is run again. The verdict of the restore check, which forbids all other
writing, stays in the database until the last commit of the recovery.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import orjson

from ..database.actions import ActionRow, put_action
from ..database.outbox import Outputs
from ..database.session import Connection, Pool, statements
from ..kafka.clients import new_reader, running
from ..runtime.problems import OperatorError
from ..runtime.process import crash_point
from ..settings.access import KafkaAccess
from .check import RestoreCheck, Scope
from .findings import Finding, interrupted, put_verdict, read_verdict
from .inputs import members_of, put_inputs, set_group_back
from .survey import Advance, Plan, RecoveryNotPossible, Survey
from .takeover import take_over
from .topics import open_topics

SQL = statements("recovery")
RESTORE = statements("restore")
OUTBOX = statements("outbox")

ACTION = "restore_check_recover"
REASON = "an older database was restored"
PROCESS = "recover"
LOCK = 7_203_160_016  # any number that nothing else locks

R = TypeVar("R")
Report = Callable[[Connection, int, Plan], Awaitable[R]]


class NothingToRecover(OperatorError):
    """The database is not older than Kafka, and no recovery was interrupted."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a database has to be recovered. `findings` are those results of the restore check that
    are not stored as a verdict yet.
    """

    finding: str
    evidence: str
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """One call of the command `bursar-bridge recover`. `operator` is the name of the person who has
    called the command.
    """

    pool: Pool
    access: KafkaAccess
    scope: Scope
    outputs: Outputs
    operator: str
    advance: Advance

    async def run(self) -> int:
        """Recovers the database, or goes on with a recovery that was interrupted; returns the epoch
        of the recovery.

        Raises NothingToRecover, RecoveryNotPossible, IdsTaken, CannotAsk, and the errors of the
        database and of the Kafka client. After an error in a recovery the verdict, which forbids
        writing, stays, and the command may be run again.
        """
        async with self._alone() as (connection, cause):
            epoch = await self._begin(connection, cause)
            async with self._survey(connection) as survey:
                plan = await survey.plan()
                epoch = await take_over(survey, epoch, plan)
            await self._end(connection, epoch, plan)
        return epoch

    async def preview(self, report: Report[R]) -> R:
        """Makes the recovery in a transaction, returns what `report` reads there, and then rolls
        all of it back. Raises as `run`.
        """
        async with self._alone() as (connection, cause):
            transaction = connection.transaction()
            await transaction.start()
            try:
                epoch = await self._put_row(connection, cause)
                async with self._survey(connection) as survey:
                    plan = await survey.plan()
                    epoch = await take_over(survey, epoch, plan)
                return await report(connection, epoch, plan)
            finally:
                await transaction.rollback()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[tuple[Connection, Cause]]:
        """A connection, if there is something to recover and nobody else is at work."""
        async with self.pool.acquire() as connection:
            if not await connection.fetchval(SQL["try_lock"], LOCK):
                raise RecoveryNotPossible("another `bursar-bridge recover` is at work")
            await RestoreCheck(self.access, self.scope).require_home(connection)
            cause = await self._cause(connection)
            await self._require_no_members()
            yield connection, cause

    @contextlib.asynccontextmanager
    async def _survey(self, connection: Connection) -> AsyncIterator[Survey]:
        async with open_topics(self.access, self.scope.group_id) as topics:
            prefix = self.access.topic_prefix
            yield Survey(connection, topics, self.scope, prefix, self.advance)

    async def _cause(self, connection: Connection) -> Cause:
        """The verdict, or what the check finds now. Raises NothingToRecover."""
        verdict = await read_verdict(connection)
        if verdict is not None:
            return Cause(verdict.finding, verdict.evidence)
        unfinished = await connection.fetchrow(SQL["unfinished"])
        if unfinished is not None and unfinished["state"] == "adopting":
            findings: Sequence[Finding] = (interrupted(),)
        else:
            findings = (await RestoreCheck(self.access, self.scope).ask(connection)).findings
        if not findings:
            raise NothingToRecover(_nothing(is_reading=unfinished is not None))
        evidence = [{"finding": each.kind.value, **each.evidence} for each in findings]
        return Cause(findings[0].kind.value, orjson.dumps(evidence).decode(), findings)

    async def _require_no_members(self) -> None:
        group_id = self.scope.group_id
        hosts = await members_of(self.access, group_id)
        if hosts:
            text = (
                f"group {group_id} has members at {', '.join(sorted(set(hosts)))}: stop every "
                "instance; one that was killed leaves the group after its session timeout"
            )
            raise RecoveryNotPossible(text)

    async def _begin(self, connection: Connection, cause: Cause) -> int:
        """Takes the place of all writers; returns the epoch of the recovery so far."""
        async with connection.transaction():
            await connection.execute(SQL["lock_writers"])
            if cause.findings:
                await put_verdict(connection, cause.findings, PROCESS)
            epoch = await self._put_row(connection, cause)
        crash_point("recovery_begun")
        return epoch

    async def _put_row(self, connection: Connection, cause: Cause) -> int:
        unfinished = await connection.fetchrow(SQL["unfinished"])
        if unfinished is not None and unfinished["state"] == "adopting":
            return int(unfinished["epoch"])
        if unfinished is None:
            await connection.execute(SQL["clear_marks"])
        await connection.execute(SQL["end_reading"])
        arguments = (cause.finding, cause.evidence, self.operator)
        return int(await connection.fetchval(SQL["begin"], *arguments))

    async def _end(self, connection: Connection, epoch: int, plan: Plan) -> None:
        """Lets the service start: it reads on from the offsets of this database.

        The marks are stored before the group is set back, which is what they are taken from.
        """
        async with connection.transaction():
            await put_inputs(connection, plan.inputs)
        crash_point("marks_stored")
        async with running(new_reader(self.access, self.scope.group_id)) as reader:
            await set_group_back(reader, plan.inputs)
        crash_point("group_set_back")
        outcome = f"epoch {epoch}, batches adopted: {len(plan.batches)}"
        subject = {"restore_check": ACTION}
        row = ActionRow(ACTION, None, subject, {}, REASON, self.operator, outcome)
        async with connection.transaction():
            for at, end in sorted(plan.outputs.ends.items()):
                if end > 0:
                    await connection.execute(SQL["set_accepted"], *at, end - 1)
                    await connection.execute(OUTBOX["set_acknowledged"], *at, end - 1)
            await connection.execute(SQL["raise_action_ids"], epoch)
            await put_action(connection, self.outputs, row)
            await connection.execute(SQL["begin_reading"], epoch)
            await connection.execute(RESTORE["clear_verdict"])


def _nothing(*, is_reading: bool) -> str:
    if is_reading:
        return "nothing to recover: a recovery reads the inputs again; `bursar-bridge run` ends it"
    return "nothing to recover: this database is not older than Kafka"
