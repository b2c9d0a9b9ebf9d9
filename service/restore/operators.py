"""What an operator is shown of the restore check, and what an operator may decide."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ..database.session import Connection, Pool, statements
from ..runtime.problems import OperatorError
from .check import Answer, CheckTooSlow, RestoreCheck
from .findings import CannotAsk, Finding, OutputUnreadable, Sort
from .verdict import Verdict, read_verdict

SQL = statements("restore")
CLEARED = "restore_check_clear"
ACCEPTED = "restore_check_accept"


class NotNew(OperatorError):
    """Existing topics can be accepted for a database in which nothing was written yet."""


@dataclass(frozen=True, slots=True)
class State:
    """The verdict that is kept, and what the check finds now; `not_asked` says why it cannot."""

    verdict: Verdict | None
    findings: Sequence[Finding]
    not_asked: str | None = None

    @property
    def is_sound(self) -> bool:
        return self.verdict is None and not self.findings and self.not_asked is None


async def look(pool: Pool, check: RestoreCheck) -> State:
    """Only reads. The verdict is told also where nothing can be compared with it now."""
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        try:
            answer = await check.ask(connection)
        except OutputUnreadable as problem:
            return State(verdict, (Finding(Sort.UNREADABLE, str(problem)),))
        except (CannotAsk, CheckTooSlow) as problem:
            return State(verdict, (), str(problem))
    return State(verdict, answer.findings)


async def clear(pool: Pool, check: RestoreCheck, operator: str, reason: str) -> State:
    """Takes the verdict back, if the check finds nothing now; else nothing is changed.

    Raises CannotAsk, OutputUnreadable, CheckTooSlow, and what the database raises.
    """
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        answer = await check.ask(connection)
        if not answer.findings and verdict is not None:
            async with connection.transaction():
                await connection.execute(SQL["clear_verdict"])
                await _decided(connection, CLEARED, operator, reason, verdict.detail)
    return State(verdict, answer.findings)


async def accept_existing_topics(
    pool: Pool, check: RestoreCheck, operator: str, reason: str
) -> State:
    """A new database begins behind what the output topics hold of another one.

    Raises NotNew where anything was written here. What the check finds in the inputs is not
    accepted: another group reads them from where the settings say.
    """
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        if not await connection.fetchval(SQL["is_new"]):
            raise NotNew("--accept-existing-topics: is for a new database, this one was written to")
        answer = await check.ask(connection)
        left = [one for one in answer.findings if one.sort is Sort.READ_FURTHER]
        if not left:
            await _accept(connection, answer, operator, reason)
    return State(verdict, left)


async def accept_foreign_records(
    pool: Pool, check: RestoreCheck, operator: str, reason: str
) -> State:
    """Passes over records of other programs, if the check finds nothing else now.

    They cannot be evidence: whatever an instance of this service publishes says so.
    """
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
        answer = await check.ask(connection, foreign_accepted=True)
        if not answer.findings:
            await _accept(connection, answer, operator, reason)
    return State(verdict, answer.findings)


async def _accept(connection: Connection, answer: Answer, operator: str, reason: str) -> None:
    async with connection.transaction():
        for at, end in sorted(answer.ends.items()):
            await connection.execute(SQL["accept_output"], *at, end - 1)
            await connection.execute(SQL["accept_output_end"], *at, end - 1)
        await connection.execute(SQL["clear_verdict"])
        records = sum(answer.ends.values())
        await _decided(connection, ACCEPTED, operator, reason, f"{records} offsets passed over")


async def _decided(
    connection: Connection, action: str, operator: str, reason: str, outcome: str
) -> None:
    subject = orjson.dumps({"restore_check": action}).decode()
    put_action = statements("operators")["put_action"]
    await connection.execute(put_action, action, None, subject, reason, operator, outcome)
