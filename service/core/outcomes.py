"""The outcomes that the rules can give an event: applied, repeat, rejected, parked (rules.md)."""

from datetime import datetime

from .batches import LoanClosed
from .bursar_ids import fault_of_unknown_id
from .frozen import dataclass
from .ledger import Cause, Fine, FineKey, SourceKey
from .shares import Share
from .words import ItemState, Kind, Reason, Wait

# Counted where an operator decides about a record or a fine that no longer waits for it.
GONE = "gone"


@dataclass(frozen=True, slots=True)
class Effect:
    """A ledger transaction that is to be posted: the fine after it, and how much it adds to the
    account's active and transferred balance.
    """

    fine: Fine
    kind: Kind
    label: str
    amount: int
    active: int
    transferred: int
    cause: Cause
    occurred_at: datetime
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The event has effects. `fine` is the fine after all effects of the event; None if the event
    is a payment that names only a patron, or the reversal of one.

    For a payment, `applied` is the part that reduces what the fine owes, and `excess` the part that
    becomes the credit `credit_id`. If the event is a payment that names only a patron, `parts` are
    the fines and amounts that it pays. `name` is the name under which the outcome is counted and
    stored: `applied`, or `noted` if no balance changes.
    """

    effects: tuple[Effect, ...]
    fine: Fine | None
    applied: int = 0
    excess: int = 0
    credit_id: str | None = None
    name: ItemState = ItemState.APPLIED
    loan_closed: LoanClosed | None = None
    parts: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """The record has no effect, because a record with the same identity and content was processed
    before.

    `reason` is given if the sender might expect an effect all the same, for example
    `already_closed` for a fine that was closed since.
    """

    reason: Reason | None = None

    @property
    def name(self) -> str:
        """The name under which this outcome is counted: `repeat`, with the reason if any."""
        return "repeat" if self.reason is None else f"repeat:{self.reason}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """The record is rejected: it is stored with its bytes and published.

    A rejected record changes nothing else, with one exception: if the time of a rejected change in
    the library counts for later changes, `fine` is the fine with that time.
    """

    reason: Reason
    detail: str
    fine: Fine | None = None

    @property
    def name(self) -> str:
        """The name under which this outcome is counted: `rejected` and the reason."""
        return f"rejected:{self.reason}"


@dataclass(frozen=True, slots=True)
class Park:
    """The record is parked: in the wait queue of its fine, behind the payment that it reverses, or,
    if it is a payment that names only a patron, in the queue of the patron's account.
    """

    wait: Wait
    fine_id: str | None
    original: SourceKey | None = None

    @property
    def name(self) -> str:
        """The name under which this outcome is counted: `parked` and what the record waits for."""
        return f"parked:{self.wait}"


Outcome = Applied | Repeat | Rejected | Park

_DETAILS: dict[Reason, str] = {
    Reason.FINE_CONFLICT: "fine_id: is known with other content",
    Reason.CHANGE_CONFLICT: "change_id: is known with other content",
    Reason.PAYMENT_CONFLICT: "payment_id: is known with other content",
    Reason.RESPONSE_CONFLICT: "response_id: is known with other content",
    Reason.REFERENCE_MISMATCH: "bursar_transaction_id, fine_id: must name the same fine",
    Reason.CURRENCY_MISMATCH: "currency: is not the fine's",
    Reason.OVERTAKEN: "changed_at: a later change of the same sort was read before",
    Reason.ALREADY_EXPORTED: "fine_id: the fine was exported, the bursar collects it",
    Reason.ALREADY_CLOSED: "fine_id: the fine is closed",
    Reason.EXCEEDS_REMAINING: "amount: is more than what remains",
    Reason.NO_CHANGE: "kind: the change would leave the fine as it is",
    Reason.IMPORT_NOT_ACTIVE: "fine_id: its profile only exports",
    Reason.EXCEEDS_OUTSTANDING: "amount: is more than what is outstanding",
    Reason.OVERPAID: "amount: is more than what is outstanding and the profile takes no excess",
    Reason.ORIGINAL_REJECTED: "reverses_payment_id: that payment was rejected",
    Reason.NOT_REVERSIBLE: "reverses_payment_id: is a reversal or a status",
    Reason.ALREADY_REVERSED: "reverses_payment_id: nothing of that payment is left to reverse",
    Reason.AMOUNT_MISMATCH: "amount: is more than what is left of that payment",
    Reason.CREDIT_ALREADY_EXPORTED: "reverses_payment_id: the credit of its excess is in use",
    Reason.NO_MATCHING_PAYMENT: "amount: no payment of this amount is left to reverse",
    Reason.UNKNOWN_BATCH: "batch_number: is not known for this profile",
    Reason.UNKNOWN_LINE: "bursar_transaction_id: is not known here",
    Reason.NOT_LIVE: "bursar_transaction_id: is not the fine's live line",
    Reason.ALREADY_PAID: "bursar_transaction_id: the fine has payments or credits that count",
    Reason.CONTROL_TOTAL_MISMATCH: "control: is not the count and total of the batch",
    Reason.DISCARDED: "record: an operator discarded it",
}
_WAITS_FOR: dict[Wait, str] = {
    Wait.UNKNOWN_FINE: "the fine",
    Wait.NOT_EXPORTED: "the export of the fine",
    Wait.UNKNOWN_ORIGINAL: "the payment that it reverses",
    Wait.OVERPAID_HELD: "a person's decision about more than what is outstanding",
    Wait.UNALLOCATED: "a fine that it can pay, or a person's decision",
    Wait.INTERNAL_ERROR: "a person's decision: the program or the database failed on it",
    Wait.INTAKE_STOPPED: "a person to resume its topic, which bad records have stopped",
}


def waits_in_words(wait: Wait) -> str:
    """Returns in words what a parked record waits for, followed by the code."""
    return f"waits for {_WAITS_FOR[wait]} ({wait})"


def rejected_in_words(reason: Reason, bursar_transaction_id: str | None) -> str:
    """Returns why a record was rejected, as the reason's code and its rule; used when the detail
    that was stored with the rejection was removed. `bursar_transaction_id` is the export line that
    the record names; None if it names none.
    """
    if reason is Reason.UNKNOWN_LINE:
        return f"{reason}: {unknown_line(bursar_transaction_id).detail}"
    return f"{reason}: {_DETAILS[reason]}"


def rejected(reason: Reason) -> Rejected:
    """Returns the rejection of a record for a reason; its text names the member of the record at
    fault and the rule.
    """
    return Rejected(reason, _DETAILS[reason])


def unknown_line(bursar_transaction_id: str | None) -> Rejected:
    """Returns the rejection of a record with an unknown bursar transaction id (row 4); its text
    says so if no line can have that id.

    `bursar_transaction_id` is None if the record names no export line at all.
    """
    rejection = rejected(Reason.UNKNOWN_LINE)
    fault = fault_of_unknown_id(bursar_transaction_id) if bursar_transaction_id else None
    if fault is None:
        return rejection
    return Rejected(Reason.UNKNOWN_LINE, f"{rejection.detail}: {fault}")


def fines_changed(outcome: Outcome | None) -> tuple[FineKey, ...]:
    """Returns the keys of the fines that an outcome changed or created; none if the record was not
    applied.
    """
    if not isinstance(outcome, Applied):
        return ()
    fine = () if outcome.fine is None else (outcome.fine.facts.key,)
    return (*fine, *(effect.fine.facts.key for effect in outcome.effects))
