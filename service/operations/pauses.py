"""A person stops the runs of a profile, such as at the end of a year, and lets them go on."""

from ..apply.applier import Applier
from ..apply.operator_actions import (
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
    put_action,
)
from ..database.session import Connection, statements

SQL = statements("pause")
Key = tuple[str, str]  # institution and code of a profile


def subject_of(key: Key) -> Subject:
    return {"institution_id": key[0], "profile": key[1]}


async def pause(applier: Applier, key: Key, justification: Justification) -> DecisionResult:
    """No run of the profile begins or goes on after this commit.

    It waits for the batch that is being sealed. An open run stays open, and goes on once the
    profile is resumed.
    """

    async def work(connection: Connection) -> str:
        await connection.execute(statements("export")["lock_schedule"], *key)
        await connection.execute(SQL["await_batch"], *key)
        done = await connection.fetchval(
            SQL["pause"], *key, justification.reason, justification.operator
        )
        if done is None:
            raise DecisionNotPossible("is paused already")
        await put_action(
            connection, justification, "export_pause", key[0], subject_of(key), "paused"
        )
        return "paused"

    return await carry_out(applier, subject_of(key), work)


async def resume(applier: Applier, key: Key, justification: Justification) -> DecisionResult:
    """The profile runs again as its schedule says; a run that was missed is caught up once."""

    async def work(connection: Connection) -> str:
        if await connection.fetchval(SQL["resume"], *key) is None:
            raise DecisionNotPossible("is not paused")
        await put_action(
            connection, justification, "export_resume", key[0], subject_of(key), "resumed"
        )
        return "resumed"

    return await carry_out(applier, subject_of(key), work)
