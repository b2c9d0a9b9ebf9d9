"""What the rules decide: the events of records, the export of a fine, an operator's decisions.

All are frozen. Amounts are in minor units, times are aware and in UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime

from .ledger import AccountKey, BatchKey, FineFacts, FineKey, LineKey, Origin, Patron, SourceKey
from .shares import Share, SumQueue
from .terms import Terms
from .words import ChangeKind, PaymentKind, Reason, ResponseOutcome, Wait


@dataclass(frozen=True, slots=True)
class FineCreated:
    """A fine or a credit of a patron, with a snapshot of the patron.

    `earlier_digest` and `cuts` are as in SourceRecord.
    """

    facts: FineFacts
    patron: Patron
    origin: Origin
    earlier_digest: bytes | None = None
    cuts: tuple[str, ...] = ()

    def has_content(self, digest: bytes) -> bool:
        """Whether a fine with this digest has the content of the event."""
        return digest in (self.facts.digest, self.earlier_digest)

    @property
    def key(self) -> FineKey:
        """The identity of the fine."""
        return self.facts.key


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record that is identified by the system that sends it and by an id of that system.

    `digest` is that of the content: two records with the same key and another digest conflict.
    `earlier_digest` is the one that earlier releases have stored for the same record, if they read
    its texts otherwise or not all of its members. `cuts` names the members of which a text was too
    long and was cut.
    `is_new_form` says that releases up to 0.3.0 would read the record otherwise, or not at all.
    """

    key: SourceKey
    digest: bytes
    origin: Origin
    earlier_digest: bytes | None = field(default=None, kw_only=True)
    cuts: tuple[str, ...] = field(default=(), kw_only=True)
    is_new_form: bool = field(default=False, kw_only=True)

    def has_content(self, digest: bytes) -> bool:
        """Whether a record with this digest has the same content, read by this release or one
        before it.
        """
        return digest in (self.digest, self.earlier_digest)


@dataclass(frozen=True, slots=True)
class FineChanged(SourceRecord):
    """A change of a fine in the library. `amount` and `currency` are None if the kind has none."""

    fine_id: str
    kind: ChangeKind
    amount: int | None
    currency: str | None
    changed_at: datetime
    reason: str | None
    comment: str | None

    @property
    def fine(self) -> FineKey:
        """The identity of the fine that changes."""
        return FineKey(self.key.institution_id, self.fine_id)


@dataclass(frozen=True, slots=True)
class BursarPayment(SourceRecord):
    """What the bursar reports on a fine. `amount` is positive, and None if the kind has none.

    A payment that names a patron, and neither a fine nor a line, is a sum for the patron's account.
    `import_file` is the SHA-256 of the imported file that had the record as a line.
    """

    kind: PaymentKind
    bursar_transaction_id: str | None
    fine_id: str | None
    amount: int | None
    currency: str | None
    paid_at: datetime
    reverses_payment_id: str | None
    status_code: str | None
    comment: str | None
    import_file: str | None = None
    patron_id: str | None = None

    @property
    def account(self) -> AccountKey | None:
        """The account that a sum without a line is for; None for all other records."""
        if self.patron_id is None or self.currency is None:
            return None
        if self.bursar_transaction_id is not None or self.fine_id is not None:
            return None
        return AccountKey(self.key.institution_id, self.patron_id, self.currency)

    @property
    def line_key(self) -> LineKey | None:
        """The key of the export line that the record names, whether the line is known or not."""
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)

    @property
    def original(self) -> SourceKey | None:
        """The key of the payment that is reversed: it has the same source."""
        named = self.reverses_payment_id
        return None if named is None else SourceKey(self.key.institution_id, self.key.source, named)


@dataclass(frozen=True, slots=True)
class ExportResponse(SourceRecord):
    """The bursar's answer to a batch.

    `refused_lines` has the bursar transaction id and the reason of each. `control_total` is the
    text of the record, because only the batch says the currency.
    """

    batch: BatchKey
    outcome: ResponseOutcome
    reason: str | None
    refused_lines: tuple[tuple[str, str], ...]
    control_count: int | None
    control_total: str | None
    responded_at: datetime


@dataclass(frozen=True, slots=True)
class ExportFine:
    """The export of one fine in a batch, after the fine was checked under its account's lock."""

    fine: FineKey
    batch: BatchKey
    bursar_transaction_id: str
    terms: Terms
    cutoff: datetime


Incoming = FineCreated | FineChanged | BursarPayment | ExportResponse
ParkedKey = tuple[str, SourceKey]  # "payment" or "change", and the identity
# The records that wait for a fine, behind a payment, or for something to be outstanding.
WaitQueue = FineKey | SourceKey | SumQueue


@dataclass(frozen=True, slots=True)
class ParkedDecision:
    """What an operator decides about a parked record, with the queues in which it waits.

    `account` is that of a sum without a line.
    """

    key: SourceKey
    is_change: bool
    fine: FineKey | None
    original: SourceKey | None
    account: AccountKey | None = None

    @property
    def parked_key(self) -> ParkedKey:
        """The key of the record among parked records."""
        return ("change" if self.is_change else "payment", self.key)

    @property
    def queues(self) -> tuple[WaitQueue, ...]:
        """The queue of its fine and that of the payment that it reverses, if there are any."""
        return tuple(queue for queue in (self.fine, self.original) if queue is not None)


@dataclass(frozen=True, slots=True)
class Release(ParkedDecision):
    """The record is tried again; one that is held for its excess becomes a payment and a credit.

    A sum without a line pays the fines and amounts of `allocations`, or the oldest fines first if
    there are none.
    """

    allocations: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Discard(ParkedDecision):
    """The record is given up: rejected as `discarded`, with its bytes."""


@dataclass(frozen=True, slots=True)
class ReleaseFine:
    """An operator offers a fine that is held back (refused, not exportable) to the next run."""

    fine: FineKey


@dataclass(frozen=True, slots=True)
class Replay:
    """An operator lets a rejected record be decided anew, under its own identity."""

    event: Incoming


@dataclass(frozen=True, slots=True)
class TakeLines:
    """The fine takes the adopted lines that wait for it, as far as it meets them (rules.md, 5b)."""

    fine: FineKey


@dataclass(frozen=True, slots=True)
class GiveLine:
    """An operator gives a fine the adopted line that waits for it, although they do not meet."""

    line: LineKey
    fine: FineKey


@dataclass(frozen=True, slots=True)
class DropLine:
    """An operator gives up an adopted line that waits for a fine."""

    line: LineKey
    fine: FineKey


AdoptedEvent = TakeLines | GiveLine | DropLine
Event = Incoming | ExportFine | Release | Discard | ReleaseFine | Replay | AdoptedEvent
Parkable = FineChanged | BursarPayment


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that was rejected: it is stored with its bytes and published; nothing else changes.

    `detail` is "member: rule" and never has a value. `institution_id` is None if the record names
    no institution.
    """

    reason: Reason
    detail: str
    origin: Origin
    institution_id: str | None = None


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record on which the program failed: it is parked with its bytes as an internal error.

    `error` is the name of the error, never its text. A fine with the id `fine_id` is not exported
    until an operator has decided about the record; it is None unless the record is a change.
    """

    origin: Origin
    institution_id: str
    error: str
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A change or a payment that has to wait.

    It waits in the queue of the fine `fine_id`, where it is tried before anything newer for that
    fine, and in the queue behind the payment `original` if it reverses one. `arrival` is its number
    in the table of parked records, and None if this fold has parked it.
    """

    event: Parkable
    wait: Wait
    fine_id: str | None
    original: SourceKey | None
    arrival: int | None = None

    @property
    def is_change(self) -> bool:
        """Whether it is a change in the library, and not a payment."""
        return isinstance(self.event, FineChanged)

    @property
    def account(self) -> AccountKey | None:
        """The account of a sum without a line, which waits in the queue of the account."""
        return self.event.account if isinstance(self.event, BursarPayment) else None


def parked_key(event: Parkable) -> ParkedKey:
    """The key of an event among parked records: a change and a payment may have the same id."""
    return ("change" if isinstance(event, FineChanged) else "payment", event.key)
