"""What a person decides, kept as a row of `operator_action` in the commit that does it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from ..core.events import ParkedKey
from ..core.workspace import Changes
from ..database.session import Connection, statements
from ..runtime.failures import RETRYABLE
from ..runtime.problems import describe, summary
from ..runtime.telemetry import Event, get_log
from .applier import Applier
from .isolation import is_of_a_record

log = get_log(__name__)

SQL = statements("operators")

Subject = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Justification:
    """Who decides, and why."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What became of a decision; not `done`: nothing was changed, and `outcome` says why."""

    subject: Subject
    done: bool
    outcome: str


class DecisionNotPossible(Exception):
    """Takes the commit back: the text says why nothing was changed, without values."""


class Place(NamedTuple):
    """Where a record stood in Kafka, or in an imported file."""

    topic: str
    partition: int
    offset: int

    @property
    def subject(self) -> Subject:
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Action:
    """A decision of the past."""

    action: str
    reason: str
    operator: str
    outcome: str
    recorded_at: datetime


async def carry_out(
    applier: Applier,
    subject: Subject,
    work: Callable[[Connection], Awaitable[str]],
    keys: Collection[ParkedKey] = (),
) -> DecisionResult:
    """One decision in one commit; what cannot be done is told and leaves no trace.

    A record on which the program fails is told as well, so that the decisions after it go on.
    `keys` are the parked records that are decided: of those it fails on, only the others, which the
    decision has set free, are set apart.
    """
    try:
        outcome = await applier.run_in_transaction(work, keys)
    except DecisionNotPossible as why:
        return DecisionResult(subject, done=False, outcome=str(why))
    except Exception as problem:
        if not is_of_a_record(problem) or isinstance(problem, RETRYABLE):
            raise
        log.warning(Event.DECISION_FAILED, problem=describe(problem))
        return DecisionResult(
            subject, done=False, outcome=f"fails: {summary(problem.__cause__ or problem)}"
        )
    applier.committed()
    return DecisionResult(subject, done=True, outcome=outcome)


def outcome_of_event(changes: Changes) -> str:
    """What became of the one event itself, without what it set free."""
    own = [name for name in changes.outcomes if not name.startswith("unparked:")]
    return own[0].replace(":", ": ", 1) if own else "nothing"


async def put_action(
    connection: Connection,
    justification: Justification,
    action: str,
    institution_id: str | None,
    subject: Subject,
    outcome: str,
) -> None:
    await connection.execute(
        SQL["put_action"],
        action,
        institution_id,
        orjson.dumps(subject).decode(),
        justification.reason,
        justification.operator,
        outcome,
    )


async def actions_on(connection: Connection, subject: Subject) -> Sequence[Action]:
    """Oldest first."""
    rows = await connection.fetch(SQL["actions_on"], orjson.dumps(subject).decode())
    return [
        Action(row["action"], row["reason"], row["operator"], row["outcome"], row["recorded_at"])
        for row in rows
    ]
