"""Decisions of operators: the commit that carries a decision out also records it in the table
`operator_action` and publishes it.
"""

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
    """The name of the operator who has decided, and the reason that the operator gave."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator decides about a subject, such as a parked record or a fine. `action` is the
    name of the kind of decision, as the table `operator_action` stores it.

    `institution_id` is the institution to which the subject belongs, None if that is not known.
    `details` has further choices of the operator, such as amounts; they are published, so they
    never contain free text.
    """

    action: str
    institution_id: str | None
    subject: Subject
    justification: Justification
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """Whether an operator's decision was carried out (`done`), and with which outcome. If `done` is
    False, nothing was changed, and `outcome` says why.
    """

    subject: Subject
    done: bool
    outcome: str


class DecisionNotPossible(Exception):
    """Raised while an operator's decision is carried out, if it is not possible; the commit is
    rolled back. The text of the exception says why, and quotes no value of a record.
    """


class Place(NamedTuple):
    """The topic, partition and offset of a record in Kafka, or the corresponding place of a record
    that came from an imported file.
    """

    topic: str
    partition: int
    offset: int

    @property
    def subject(self) -> Subject:
        """The place of the record in the form in which a decision names its subject."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Action:
    """An operator's decision as it is stored in the table `operator_action`."""

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
    """Calls `work`, which carries the decision out and returns the outcome, in a commit that also
    records and publishes the decision.

    If `work` raises DecisionNotPossible, the commit is rolled back, and the result says why. If the
    program fails on a record, the result says so and no exception is raised, so that the caller can
    still carry out further decisions. `keys` are the parked records about which the operator
    decides: if the program fails on one of them, the decision fails; if it fails on another parked
    record that the decision allows to be applied, only that record is marked as failed, and the
    decision stands.
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
    """The outcome of the event itself as text, without the outcomes of parked records that were
    applied or rejected because of it.
    """
    names = [name for name in changes.outcomes if not name.startswith("unparked:")]
    return names[0].replace(":", ": ", 1) if names else "nothing"


async def put_action(
    connection: Connection, outputs: Outputs, decision: Decision, outcome: str
) -> None:
    """Records an operator's decision with its outcome and publishes both, in the caller's database
    transaction.
    """
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
    """Returns the operators' decisions about a subject, oldest first."""
    rows = await connection.fetch(SQL["actions_on"], orjson.dumps(subject).decode())
    return [
        Action(row["action"], row["reason"], row["operator"], row["outcome"], row["recorded_at"])
        for row in rows
    ]
