"""The codes that records and tables use, such as statuses and reasons (rules.md, 1-5)."""

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
    """Whether a fine counts as owed or as settled, which its status alone does not show."""

    ACTIVE = "active"
    CLOSED = "closed"


class Kind(StrEnum):
    """What a ledger transaction does, as a code that never changes (rules.md, 2)."""

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
    """Why a record was rejected; the first in this list that applies is given (rules.md, 3)."""

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
    """What has to happen before a parked record can be decided."""

    UNKNOWN_FINE = "unknown_fine"
    NOT_EXPORTED = "not_exported"
    UNKNOWN_ORIGINAL = "unknown_original"
    OVERPAID_HELD = "overpaid_held"
    UNALLOCATED = "unallocated"
    INTERNAL_ERROR = "internal_error"
    INTAKE_STOPPED = "intake_stopped"


class Mode(StrEnum):
    """Whether an export profile only exports fines, or also expects the bursar's payments."""

    EXPORT_ONLY = "export_only"
    EXPORT_IMPORT = "export_import"


class LostRule(StrEnum):
    """Whether the fine for a lost item closes on its export or is transferred (rules.md, 4)."""

    CLOSE = "close"
    TRANSFER = "transfer"


class Overpayment(StrEnum):
    """What happens if the bursar reports more money than a fine still owes (rules.md, 3)."""

    CREDIT = "credit"
    REJECT = "reject"
    HOLD = "hold"


class RefusedRule(StrEnum):
    """Whether a fine that the bursar refused waits for a person or is exported again."""

    HOLD = "hold"
    RETRY = "retry"


class LibraryPayments(StrEnum):
    """What becomes of a payment or waiver in the library after a fine's export (rules.md, 2b): the
    record is rejected, or makes a credit, which an export run sends to the bursar.
    """

    REJECT = "reject"
    CREDIT = "credit"


class ImportCredits(StrEnum):
    """Whether a credit that an imported payment file made waits for a person (rules.md, 5)."""

    CONFIRM = "confirm"
    EXPORT = "export"


class ChangeKind(StrEnum):
    """What sort of change of a fine the library reports, such as a waiver (rules.md, 2b)."""

    PAID = "paid"
    WAIVED = "waived"
    ADJUSTED = "adjusted"
    CANCELLED = "cancelled"
    DISPUTED = "disputed"
    RESTORED = "restored"

    @property
    def has_amount(self) -> bool:
        """Whether a change of this kind has an amount and a currency; others have neither."""
        match self:
            case ChangeKind.PAID | ChangeKind.WAIVED | ChangeKind.ADJUSTED:
                return True
            case ChangeKind.CANCELLED | ChangeKind.DISPUTED | ChangeKind.RESTORED:
                return False
            case _:
                assert_never(self)


class PaymentKind(StrEnum):
    """What sort of event the bursar reports on a fine, such as a payment (rules.md, 3)."""

    PAYMENT = "payment"
    REVERSAL = "reversal"
    WRITE_OFF = "write_off"
    STATUS = "status"

    @property
    def settlement(self) -> Kind | None:
        """The kind of ledger transaction with which such a record reduces what a fine owes, and
        which a reversal can undo; None for records that reduce nothing.
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
        """Whether the amount of such a record may be more than the fine owes (row 12)."""
        match self:
            case PaymentKind.PAYMENT:
                return True
            case PaymentKind.WRITE_OFF | PaymentKind.REVERSAL | PaymentKind.STATUS:
                return False
            case _:
                assert_never(self)


class ResponseOutcome(StrEnum):
    """Whether the bursar accepts an export batch, refuses it, or refuses some lines of it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PARTIAL = "partial"


class ItemState(StrEnum):
    """What became of a bursar's payment or answer, or of a change in the library."""

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
    """How far an export batch has come, from its sealing to the bursar's answer. The states
    `quarantined` and `published` are not stored, but derived from the outbox.
    """

    SEALED = "sealed"
    QUARANTINED = "quarantined"
    PUBLISHED = "published"
    ACCEPTED = "accepted"
    PARTLY_REFUSED = "partly_refused"
    REFUSED = "refused"


class RejectedState(StrEnum):
    """Whether an operator has decided about a rejected record, and how."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class KnownLines(StrEnum):
    """What an import does if another file had a payment of the same line and amount. With `refuse`,
    the payment is skipped as a copy of the earlier one if nothing is owed on the line any more;
    otherwise it may be a new payment, and the whole file is refused. With `skip` or `pay` an
    operator has decided; with `pay`, an amount that is not owed becomes a credit.
    """

    REFUSE = "refuse"
    SKIP = "skip"
    PAY = "pay"


class HeldReason(StrEnum):
    """Why an open fine is not exported; commands that list open fines show and filter by it."""

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
