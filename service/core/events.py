"""The events on which the rules decide: records from Kafka, exports of fines, and operators'
decisions.

All are frozen. Amounts are in minor units; times have a time zone, which is UTC.
"""

from dataclasses import field
from datetime import datetime

from .frozen import dataclass
from .ledger import AccountKey, BatchKey, FineFacts, FineKey, LineKey, Origin, Patron, SourceKey
from .shares import Share, SumQueue
from .terms import Terms
from .words import ChangeKind, PaymentKind, Reason, ResponseOutcome, Wait


@dataclass(frozen=True, slots=True)
class FineCreated:
    """A record of a new fine or credit of a patron, with the patron's name, group and identifiers
    at that time. `earlier_digest` and `cuts` mean the same as in the class SourceRecord.
    """

    facts: FineFacts
    patron: Patron
    origin: Origin
    earlier_digest: bytes | None = None
    cuts: tuple[str, ...] = ()

    def has_content(self, digest: bytes) -> bool:
        """Whether a stored fine with this digest has the same content as this record."""
        return digest in (self.facts.digest, self.earlier_digest)

    @property
    def key(self) -> FineKey:
        """The identity of the new fine: its institution and fine id."""
        return self.facts.key


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record that is identified by its institution, the system that sends it and an id of that
    system. `digest` is a hash of the content: two records with the same key and different digests
    are in conflict. `earlier_digest` is the digest that earlier releases stored for the same
    record, if they cleaned its texts differently or ignored some of its members. `cuts` names the
    members whose text was too long and was cut. `is_new_form` says that releases up to 0.3.0 would
    understand the record differently, or reject it.
    """

    key: SourceKey
    digest: bytes
    origin: Origin
    earlier_digest: bytes | None = field(default=None, kw_only=True)
    cuts: tuple[str, ...] = field(default=(), kw_only=True)
    is_new_form: bool = field(default=False, kw_only=True)

    def has_content(self, digest: bytes) -> bool:
        """Whether a stored record with this digest has the same content as this record."""
        return digest in (self.digest, self.earlier_digest)


@dataclass(frozen=True, slots=True)
class FineChanged(SourceRecord):
    """A record of a change of a fine in the library. `amount` and `currency` are None for kinds of
    changes that have no amount.
    """

    fine_id: str
    kind: ChangeKind
    amount: int | None
    currency: str | None
    changed_at: datetime
    reason: str | None
    comment: str | None

    @property
    def fine(self) -> FineKey:
        """The identity of the fine that was changed."""
        return FineKey(self.key.institution_id, self.fine_id)


@dataclass(frozen=True, slots=True)
class BursarPayment(SourceRecord):
    """A record of what the bursar reports, such as a payment of a fine. `amount` is positive, and
    None for kinds that have no amount. A payment that names a patron, but no fine and no export
    line, is a sum for the patron's account. `import_file` is the SHA-256 of the bursar's file from
    which the record was imported; None if it was not imported.
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
        """The patron's account if a payment names only a patron; None for other records."""
        if self.patron_id is None or self.currency is None:
            return None
        if self.bursar_transaction_id is not None or self.fine_id is not None:
            return None
        return AccountKey(self.key.institution_id, self.patron_id, self.currency)

    @property
    def line_key(self) -> LineKey | None:
        """The key of the export line that the record names, whether the ledger has that line or
        not; None if it names none.
        """
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)

    @property
    def original(self) -> SourceKey | None:
        """The key of the payment, of the same source, that this record reverses, or None."""
        named = self.reverses_payment_id
        return None if named is None else SourceKey(self.key.institution_id, self.key.source, named)


@dataclass(frozen=True, slots=True)
class ExportResponse(SourceRecord):
    """A record with the bursar's answer to an export batch. `refused_lines` has the bursar
    transaction id of each refused export line, and the reason. `control` has the number of the
    batch's lines and their total; the total is a text, because it can only be parsed once the
    batch's currency is known.
    """

    batch: BatchKey
    outcome: ResponseOutcome
    reason: str | None
    refused_lines: tuple[tuple[str, str], ...]
    control: tuple[int, str] | None
    responded_at: datetime


@dataclass(frozen=True, slots=True)
class ExportFine:
    """The export of one fine in a batch; the fine was checked while its account was locked."""

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
    """An operator's decision about a parked record, with the fine, payment or account for which the
    record waits. `account` is given if the record is a payment that names only a patron.
    """

    key: SourceKey
    is_change: bool
    fine: FineKey | None
    original: SourceKey | None
    account: AccountKey | None = None

    @property
    def parked_key(self) -> ParkedKey:
        """The key of the record in the table of parked records."""
        return ("change" if self.is_change else "payment", self.key)

    @property
    def queues(self) -> tuple[WaitQueue, ...]:
        """The wait queues of the record's fine and of the payment that it reverses, if any."""
        return tuple(queue for queue in (self.fine, self.original) if queue is not None)


@dataclass(frozen=True, slots=True)
class Release(ParkedDecision):
    """An operator has a parked record tried again; if it was held because it pays too much, it
    becomes a payment and a credit. A payment that names only a patron pays the fines and amounts in
    `allocations`; without them it pays the fines in the order of their export.
    """

    allocations: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Discard(ParkedDecision):
    """An operator gives a parked record up, which is then rejected as `discarded`."""


@dataclass(frozen=True, slots=True)
class ReleaseFine:
    """An operator lets the next export run take a fine that was held back."""

    fine: FineKey


@dataclass(frozen=True, slots=True)
class Replay:
    """An operator has a rejected record decided once more, under its own identity."""

    event: Incoming


@dataclass(frozen=True, slots=True)
class TakeLines:
    """Applies adopted export lines to their fine, if its status and amount fit (rules.md, 5b)."""

    fine: FineKey


@dataclass(frozen=True, slots=True)
class GiveLine:
    """An operator applies an adopted export line to its fine, although the fine's status or amount
    is not what it was at the export.
    """

    line: LineKey
    fine: FineKey


@dataclass(frozen=True, slots=True)
class DropLine:
    """An operator drops an adopted export line that waits for its fine."""

    line: LineKey
    fine: FineKey


AdoptedEvent = TakeLines | GiveLine | DropLine
Event = Incoming | ExportFine | Release | Discard | ReleaseFine | Replay | AdoptedEvent
Parkable = FineChanged | BursarPayment


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected record, which is stored with its bytes and published, and changes no balance.
    `detail` has the form "member: rule", and never quotes a value of the record. `institution_id`
    is None if no institution could be read from the record.
    """

    reason: Reason
    detail: str
    origin: Origin
    institution_id: str | None = None


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record on which the program or the database failed; it is parked with its bytes as an
    internal error. `error` is the class name of the exception, never its text, which might quote a
    value. If the record is a change in the library, `fine_id` is its fine, which is not exported
    until an operator has decided about the record; else it is None.
    """

    origin: Origin
    institution_id: str
    error: str
    fine_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A parked record: a change in the library or a payment that cannot be decided yet. The record
    waits in the queue of the fine `fine_id`, where it is tried before any newer record for that
    fine, and, if it is a reversal, in the queue behind the payment `original`. `arrival` is the
    record's number in the table of parked records; None if the current commit has parked it, so
    that it has no row yet.
    """

    event: Parkable
    wait: Wait
    fine_id: str | None
    original: SourceKey | None
    arrival: int | None = None

    @property
    def is_change(self) -> bool:
        """Whether the record is a change in the library, and not a bursar's record."""
        return isinstance(self.event, FineChanged)

    @property
    def account(self) -> AccountKey | None:
        """The account in whose queue a payment that names only a patron waits; else None."""
        return self.event.account if isinstance(self.event, BursarPayment) else None


def parked_key(event: Parkable) -> ParkedKey:
    """Returns the event's key among parked records, with its type: a change and a payment may have
    the same id.
    """
    return ("change" if isinstance(event, FineChanged) else "payment", event.key)
