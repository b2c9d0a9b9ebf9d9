"""Pausing the runs of a profile, for example at the end of a year, and resuming them."""

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    carry_out,
)
from ..database.session import Connection, statements

SQL = statements("pause")
Key = tuple[str, str]  # institution and code of a profile


def _decision(key: Key, action: str, justification: Justification) -> Decision:
    return Decision(action, key[0], {"institution_id": key[0], "profile": key[1]}, justification)


async def pause(applier: Applier, key: Key, justification: Justification) -> DecisionResult:
    """Pauses a profile: after this commit no run of it begins or continues, unless a person runs
    the profile in spite of the pause.

    If a batch of the profile is being sealed, this commit waits until that batch is sealed. A run
    that has begun and not ended stays open, and continues when the profile is resumed.
    """

    async def work(connection: Connection) -> str:
        await connection.execute(statements("export")["lock_schedule"], *key)
        await connection.execute(SQL["await_batch"], *key)
        reason, operator = justification.reason, justification.operator
        if await connection.fetchval(SQL["pause"], *key, reason, operator) is None:
            raise DecisionNotPossible("is paused already")
        return "paused"

    return await carry_out(applier, _decision(key, "export_pause", justification), work)


async def resume(applier: Applier, key: Key, justification: Justification) -> DecisionResult:
    """Ends the pause of a profile, which from then on runs by its schedule again. If scheduled runs
    were missed during the pause, one run makes up for all of them.
    """

    async def work(connection: Connection) -> str:
        if await connection.fetchval(SQL["resume"], *key) is None:
            raise DecisionNotPossible("is not paused")
        return "resumed"

    return await carry_out(applier, _decision(key, "export_resume", justification), work)
