"""Stores operators' decisions: the commit that carries a decision out also writes it to the table
`operator_action` and queues it for publishing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from ..messages.actions import OperatorAction, encode_operator_action
from . import outbox
from .outbox import Outputs
from .session import Connection, statements

# The member of the stored subject that has what was decided beside the action itself.
DETAILS = "details"


class ActionRow(NamedTuple):
    """A decision that an operator has made. Its `reason` and the name of the `operator` are stored
    in the database only, and not published to Kafka.
    """

    action: str
    institution_id: str | None
    subject: Mapping[str, object]
    details: Mapping[str, object]
    reason: str
    operator: str
    outcome: str


async def put_action(connection: Connection, outputs: Outputs, row: ActionRow) -> None:
    """Writes a decision to the table `operator_action` and its record to the outbox, inside the
    caller's transaction.
    """
    stored = {**row.subject, DETAILS: row.details} if row.details else row.subject
    written = await connection.fetchrow(
        statements("operators")["put_action"],
        row.action,
        row.institution_id,
        orjson.dumps(stored).decode(),
        row.reason,
        row.operator,
        row.outcome,
    )
    assert written is not None
    action_id, recorded_at = written
    action = OperatorAction(
        action_id,
        row.action,
        row.institution_id,
        row.subject,
        row.details,
        row.outcome,
        recorded_at,
    )
    message = encode_operator_action(action, outputs.ce_source)
    await outbox.put(connection, outputs.operator_action, [message], recorded_at)
