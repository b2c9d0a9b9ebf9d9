"""Decisions of people: each is recorded in `operator_action` and published in its own commit."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import orjson

from ..core.events import ParkedKey
from ..core.workspace import Changes
from ..database import actions
from ..database.actions import ActionRow
from ..database.outbox import Outputs
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
    """Who has decided, and why."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides about a subject. `action` is its name in `operator_action`.

    `institution_id` is that of the subject, None if it is not known. `details` are what the person
    has decided beside the action itself; they are published, so they hold no text that a person
    wrote.
    """

    action: str
    institution_id: str | None
    subject: Subject
    justification: Justification
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What became of a decision. Unless it is `done`, nothing was changed; `outcome` says why."""

    subject: Subject
    done: bool
    outcome: str


class DecisionNotPossible(Exception):
    """Rolls the commit of a decision back. Its text says why, without values."""


class Place(NamedTuple):
    """Where a record stood in Kafka or in an imported file."""

    topic: str
    partition: int
    offset: int

    @property
    def subject(self) -> Subject:
        """The place as the subject of a decision."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Action:
    """A decision that was made, as the table `operator_action` has it."""

    action: str
    reason: str
    operator: str
    outcome: str
    recorded_at: datetime


async def carry_out(
    applier: Applier,
    decision: Decision,
    work: Callable[[Connection], Awaitable[str]],
    keys: Collection[ParkedKey] = (),
) -> DecisionResult:
    """Does `work`, which returns the outcome, in a commit that records and publishes the decision.

    A DecisionNotPossible of `work` takes everything back; the result says why. If the program fails
    on a record, this becomes a result as well, so that the decisions after it are still carried
    out. `keys` are the parked records that are decided: if the program fails on a record that the
    decision has set free, only that record is set apart.
    """

    async def recorded(connection: Connection) -> str:
        outcome = await work(connection)
        await put_action(connection, applier.outputs, decision, outcome)
        return outcome

    try:
        outcome = await applier.run_in_transaction(recorded, keys)
    except DecisionNotPossible as why:
        return DecisionResult(decision.subject, done=False, outcome=str(why))
    except Exception as problem:
        if not is_of_a_record(problem) or isinstance(problem, RETRYABLE):
            raise
        log.warning(Event.DECISION_FAILED, problem=describe(problem))
        outcome = f"fails: {summary(problem.__cause__ or problem)}"
        return DecisionResult(decision.subject, done=False, outcome=outcome)
    applier.committed()
    return DecisionResult(decision.subject, done=True, outcome=outcome)


def outcome_of_event(changes: Changes) -> str:
    """What became of the event itself, without the outcomes of records that it set free."""
    names = [name for name in changes.outcomes if not name.startswith("unparked:")]
    return names[0].replace(":", ": ", 1) if names else "nothing"


async def put_action(
    connection: Connection, outputs: Outputs, decision: Decision, outcome: str
) -> None:
    """Records and publishes the decision and its outcome, in the transaction of the caller."""
    row = ActionRow(
        decision.action,
        decision.institution_id,
        decision.subject,
        decision.details,
        decision.justification.reason,
        decision.justification.operator,
        outcome,
    )
    await actions.put_action(connection, outputs, row)


async def actions_on(connection: Connection, subject: Subject) -> Sequence[Action]:
    """The decisions about a subject, oldest first."""
    rows = await connection.fetch(SQL["actions_on"], orjson.dumps(subject).decode())
    return [
        Action(row["action"], row["reason"], row["operator"], row["outcome"], row["recorded_at"])
        for row in rows
    ]
