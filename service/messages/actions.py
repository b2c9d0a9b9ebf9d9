"""Encodes the decision of an operator as a record for Kafka (contracts.md, 7).

The record has everything of a row of the table `operator_action` except the texts that people
wrote: the reason and the operator's name. After an older database was restored, an operator can
make the decisions again by these records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from .encode import JSON, Members, Message, attributes, instant_bytes, json_bytes

CONTRACT = "operator-action.v1"
CE_ID_DIGITS = 32


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """A decision of an operator, as it is published.

    `subject` names what the operator decided about, and `details` has the particulars of the
    decision; it is empty if the action alone says everything. `institution_id` is None if the
    decision concerns no known institution. `recorded_at` is an aware datetime in UTC.
    """

    action_id: int
    action: str
    institution_id: str | None
    subject: Mapping[str, object]
    details: Mapping[str, object]
    outcome: str
    recorded_at: datetime


def encode_operator_action(action: OperatorAction, ce_source: str) -> Message:
    """Returns the operator-action record of a decision.

    The record's `ce_id` is a hash of its value and not the `action_id`, because the same action ids
    are used again after an older database was restored.
    """
    members: Members = {"action_id": action.action_id, "action": action.action}
    if action.institution_id is not None:
        members["institution_id"] = action.institution_id
    members["subject"] = dict(action.subject)
    if action.details:
        members["details"] = dict(action.details)
    members |= {"outcome": action.outcome, "recorded_at": action.recorded_at}
    value = json_bytes(members)
    ce_id = sha256(value).hexdigest()[:CE_ID_DIGITS].encode()
    key = None if action.institution_id is None else action.institution_id.encode()
    headers = (
        *attributes(CONTRACT, ce_id, ce_source, instant_bytes(action.recorded_at)),
        *((("ce_subject", key), ("ce_partitionkey", key)) if key is not None else ()),
        ("content-type", JSON),
    )
    return Message(key, value, headers)
