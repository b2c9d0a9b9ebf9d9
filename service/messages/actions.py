"""What a person has decided, as a record for Kafka (contracts.md, 7).

The record repeats what the table `operator_action` has, except for the texts that people wrote: the
reason and the name of the operator. From these records the decisions can be made again on an older
database.
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
    """A decision as it is published.

    `subject` names what was decided about, and `details` what was decided beside the action itself;
    it is empty if the action says all. `institution_id` is None if it is not known. `recorded_at`
    is aware and in UTC.
    """

    action_id: int
    action: str
    institution_id: str | None
    subject: Mapping[str, object]
    details: Mapping[str, object]
    outcome: str
    recorded_at: datetime


def encode_operator_action(action: OperatorAction, ce_source: str) -> Message:
    """The operator-action record of a decision.

    Its `ce_id` is made of the value, because numbers are given out again after an older database
    was restored.
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
