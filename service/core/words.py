"""The codes of the domain: closed sets of words that are part of the contract (rules.md, 1-5)."""

from enum import StrEnum
from typing import NewType, assert_never

ProfileCode = NewType("ProfileCode", str)

CREDIT_TYPE = "CREDIT"
BURSAR_COMMENT = "Bursar"
EXCESS_PREFIX = "bb-"


class Status(StrEnum):
    """The status of a fine, as the library shows it."""

    ACTIVE = "Active"
    IN_DISPUTE = "In dispute"
    CLOSED = "Closed"
    TRANSFERRED = "Transferred"


class Considered(StrEnum):
    """Whether a fine counts as open. A fine that was paid at the bursar keeps its status."""

    ACTIVE = "active"
    CLOSED = "closed"


class Kind(StrEnum):
    """Stable codes of transactions (rules.md, 2)."""

    FINE = "fine"
    CREDIT = "credit"
    DESK_PAYMENT = "desk_payment"
    WAIVER = "waiver"
    CANCELLATION = "cancellation"
    ADJUSTMENT = "adjustment"
    DISPUTED = "disputed"
    RESTORED = "restored"
    EXPORT = "export"
    EXPORT_AND_PAID = "export_and_paid"
    PAYMENT = "payment"
    WRITE_OFF = "write_off"
    REVERSAL = "reversal"
    PAYMENT_NOTED = "payment_noted"
    REVERSAL_NOTED = "reversal_noted"
    STATUS_NOTED = "status_noted"
    EXPORT_REJECTED = "export_rejected"
    CREDIT_CANCELLED = "credit_cancelled"


# The words of the model (rules.md, 2) where it has some; the others follow their style.
DEFAULT_LABELS: dict[Kind, str] = {
    Kind.FINE: "Fine",
    Kind.CREDIT: "Credit",
    Kind.DESK_PAYMENT: "Payment",
    Kind.WAIVER: "Waive",
    Kind.CANCELLATION: "Cancel",
    Kind.ADJUSTMENT: "Adjust",
    Kind.DISPUTED: "Dispute",
    Kind.RESTORED: "Restore",
    Kind.EXPORT: "Export",
    Kind.EXPORT_AND_PAID: "Exported and paid",
    Kind.PAYMENT: "Payment received",
    Kind.WRITE_OFF: "Written off",
    Kind.REVERSAL: "Payment reversed",
    Kind.PAYMENT_NOTED: "Payment noted",
    Kind.REVERSAL_NOTED: "Reversal noted",
    Kind.STATUS_NOTED: "Status noted",
    Kind.EXPORT_REJECTED: "Export rejected",
    Kind.CREDIT_CANCELLED: "Credit cancelled",
}


class Reason(StrEnum):
    """Why a record was rejected, in order of precedence (rules.md, 3). Part of the contract."""

    INVALID_ENVELOPE = "invalid_envelope"
    INVALID_JSON = "invalid_json"
    INVALID_SCHEMA = "invalid_schema"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_CURRENCY = "invalid_currency"
    INVALID_TEXT = "invalid_text"
    INVALID_SIZE = "invalid_size"
    FINE_CONFLICT = "fine_conflict"
    CHANGE_CONFLICT = "change_conflict"
    PAYMENT_CONFLICT = "payment_conflict"
    RESPONSE_CONFLICT = "response_conflict"
    REFERENCE_MISMATCH = "reference_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    OVERTAKEN = "overtaken"
    ALREADY_EXPORTED = "already_exported"
    ALREADY_CLOSED = "already_closed"
    EXCEEDS_REMAINING = "exceeds_remaining"
    NO_CHANGE = "no_change"
    IMPORT_NOT_ACTIVE = "import_not_active"
    EXCEEDS_OUTSTANDING = "exceeds_outstanding"
    OVERPAID = "overpaid"
    ORIGINAL_REJECTED = "original_rejected"
    NOT_REVERSIBLE = "not_reversible"
    ALREADY_REVERSED = "already_reversed"
    AMOUNT_MISMATCH = "amount_mismatch"
    CREDIT_ALREADY_EXPORTED = "credit_already_exported"
    NO_MATCHING_PAYMENT = "no_matching_payment"
    UNKNOWN_BATCH = "unknown_batch"
    UNKNOWN_LINE = "unknown_line"
    NOT_LIVE = "not_live"
    ALREADY_PAID = "already_paid"
    CONTROL_TOTAL_MISMATCH = "control_total_mismatch"
    DISCARDED = "discarded"


class Wait(StrEnum):
    """What a parked record waits for."""

    UNKNOWN_FINE = "unknown_fine"
    NOT_EXPORTED = "not_exported"
    UNKNOWN_ORIGINAL = "unknown_original"
    OVERPAID_HELD = "overpaid_held"
    UNALLOCATED = "unallocated"
    INTERNAL_ERROR = "internal_error"
    INTAKE_STOPPED = "intake_stopped"


class Mode(StrEnum):
    """Whether a profile only exports fines, or also imports payments."""

    EXPORT_ONLY = "export_only"
    EXPORT_IMPORT = "export_import"


class LostRule(StrEnum):
    """What becomes of a lost fine that is exported (rules.md, 4)."""

    CLOSE = "close"
    TRANSFER = "transfer"


class Overpayment(StrEnum):
    """What happens with a payment of more than what is outstanding (rules.md, 3)."""

    CREDIT = "credit"
    REJECT = "reject"
    HOLD = "hold"


class RefusedRule(StrEnum):
    """Whether a fine whose line was refused waits for a person or goes into the next run."""

    HOLD = "hold"
    RETRY = "retry"


class LibraryPayments(StrEnum):
    """What becomes of a payment or a waiver in the library of a fine that was exported (2b).

    `reject` leaves it to the bursar; `credit` makes a credit, which a run sends to the bursar.
    """

    REJECT = "reject"
    CREDIT = "credit"


class ImportCredits(StrEnum):
    """Whether a credit that an imported file makes waits for a person (rules.md, 5)."""

    CONFIRM = "confirm"
    EXPORT = "export"


class ChangeKind(StrEnum):
    """What happened to a fine in the library (rules.md, 2b)."""

    PAID = "paid"
    WAIVED = "waived"
    ADJUSTED = "adjusted"
    CANCELLED = "cancelled"
    DISPUTED = "disputed"
    RESTORED = "restored"

    @property
    def has_amount(self) -> bool:
        """Whether a record of this kind names an amount and its currency; others name neither."""
        match self:
            case ChangeKind.PAID | ChangeKind.WAIVED | ChangeKind.ADJUSTED:
                return True
            case ChangeKind.CANCELLED | ChangeKind.DISPUTED | ChangeKind.RESTORED:
                return False
            case _:
                assert_never(self)


class PaymentKind(StrEnum):
    """What the bursar reports on a fine (rules.md, 3)."""

    PAYMENT = "payment"
    REVERSAL = "reversal"
    WRITE_OFF = "write_off"
    STATUS = "status"

    @property
    def settlement(self) -> Kind | None:
        """The kind of the transaction by which a record of this kind pays a fine, and which a
        reversal can undo; None for a kind that pays nothing.
        """
        match self:
            case PaymentKind.PAYMENT:
                return Kind.PAYMENT
            case PaymentKind.WRITE_OFF:
                return Kind.WRITE_OFF
            case PaymentKind.REVERSAL | PaymentKind.STATUS:
                return None
            case _:
                assert_never(self)

    @property
    def may_exceed(self) -> bool:
        """Whether a record of this kind may have more than what the fine owes (row 12)."""
        match self:
            case PaymentKind.PAYMENT:
                return True
            case PaymentKind.WRITE_OFF | PaymentKind.REVERSAL | PaymentKind.STATUS:
                return False
            case _:
                assert_never(self)


class ResponseOutcome(StrEnum):
    """The bursar's answer to a batch (rules.md, 5)."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PARTIAL = "partial"


class ItemState(StrEnum):
    """What became of a payment, a change or an answer."""

    APPLIED = "applied"
    NOTED = "noted"
    PARKED = "parked"
    REJECTED = "rejected"


class LineState(StrEnum):
    """Whether an export line is in force, was refused, or is adopted and waits for its fine."""

    LIVE = "live"
    REFUSED = "refused"
    WAITING = "waiting"


class BatchState(StrEnum):
    """How far a batch is. `quarantined` and `published` are not stored: the outbox shows them."""

    SEALED = "sealed"
    QUARANTINED = "quarantined"
    PUBLISHED = "published"
    ACCEPTED = "accepted"
    PARTLY_REFUSED = "partly_refused"
    REFUSED = "refused"


class RejectedState(StrEnum):
    """Whether an operator has decided about a rejected record."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class KnownLines(StrEnum):
    """What an import does with a line and a sum that another file has brought before.

    `refuse`: if nothing is owed on the line any more, it is that earlier payment and is skipped. If
    something is owed, it cannot be decided whether it is that payment, and the file is refused.
    With `skip` and `pay` a person has decided.
    """

    REFUSE = "refuse"
    SKIP = "skip"
    PAY = "pay"


class HeldReason(StrEnum):
    """Why an open fine is not exported, as lists of open fines show it and filter by it."""

    TOO_YOUNG = "too_young"
    BELOW_MINIMUM = "below_minimum"
    IN_DISPUTE = "in_dispute"
    NO_IDENTIFIER = "no_identifier"
    NO_PATRON_NAME = "no_patron_name"
    NOT_EXPORTABLE = "not_exportable"
    REFUSED = "refused"
    BAD_TEXT = "bad_text"
    CREDIT_UNCONFIRMED = "credit_unconfirmed"
    WAITS_FOR_FINE = "waits_for_fine"
    ADOPTED_LINE = "adopted_line"
    NO_PROFILE = "no_profile"
    PAUSED = "paused"
