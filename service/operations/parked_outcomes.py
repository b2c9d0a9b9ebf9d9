"""Says in words what an operator's decision about a parked record has done."""

from ..apply.operator_actions import DecisionNotPossible
from ..core.events import Discard, Release
from ..core.ledger import Change, Payment
from ..core.outcomes import GONE
from ..core.shares import LumpRule
from ..core.words import Reason, Wait
from ..core.workspace import Changes

NOT_PARKED = "is not parked any more"
TOPIC_STOPPED = "waits in its order for the end of a stop: `intake resume`"
CAN_BE_DECIDED = "can be decided again, and waits"


def outcome_of_decision(
    changes: Changes, event: Release | Discard, wait: Wait, *, has_failed: bool
) -> str:
    """Returns in words what became of the parked record. Raises DecisionNotPossible if the decision
    changed nothing, because the record still waits for the same thing or is not parked any more.

    `wait` is what the record waited for, and `has_failed` says that the program had failed on it.
    """
    if GONE in changes.outcomes:
        raise DecisionNotPossible(NOT_PARKED)
    if event.parked_key in changes.parked.removed:
        decided: tuple[Payment | Change, ...] = changes.payments.changed
        if event.is_change:
            decided = changes.changes.changed
        value = next(value for value in decided if value.key == event.key)
        return f"{_state(value)}{_parts(changes, event)}"
    for parked in changes.parked.changed:
        if (parked.event.key, parked.is_change) == (event.key, event.is_change):
            return f"waits: {parked.wait}"
    if _is_released_sum(changes, event):
        return f"waits: {wait}, and will pay the oldest fines first"
    if has_failed:
        return CAN_BE_DECIDED
    raise DecisionNotPossible(f"still waits: {wait}")


def _is_released_sum(changes: Changes, event: Release | Discard) -> bool:
    """Whether a sum was held until now, and nothing that it could pay is outstanding."""
    return isinstance(event, Release) and any(
        lump.key == event.key and lump.rule is LumpRule.OLDEST_FIRST and lump.waits
        for lump in changes.sums.changed
    )


def _state(decided: Payment | Change) -> str:
    if decided.reason is Reason.DISCARDED:
        return "discarded"
    if decided.reason is not None:
        return f"rejected: {decided.reason}"
    if isinstance(decided, Payment) and decided.credit_id is not None:
        return f"{decided.state}, excess as credit {decided.credit_id}"
    return decided.state.value


def _parts(changes: Changes, event: Release | Discard) -> str:
    """The fines that a sum has paid; empty for other records."""
    fines = [
        part.fine_id
        for lump in changes.sums.changed
        if lump.key == event.key
        for part in lump.parts
    ]
    return f", paid: {', '.join(fines)}" if fines else ""
