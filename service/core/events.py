"""What a record says, as core values: frozen, checked, amounts in minor units, times UTC."""

from dataclasses import dataclass
from datetime import datetime

from .ledger import (
    BatchKey,
    FineFacts,
    FineKey,
    LineKey,
    Origin,
    Patron,
    SourceKey,
    Terms,
)
from .words import ChangeKind, PaymentKind, Reason, ResponseOutcome, Wait


@dataclass(frozen=True, slots=True)
class FineCreated:
    facts: FineFacts
    patron: Patron
    origin: Origin

    @property
    def fine(self) -> FineKey:
        return self.facts.key


@dataclass(frozen=True, slots=True)
class FineChanged:
    key: SourceKey
    fine_id: str
    kind: ChangeKind
    amount: int | None
    currency: str | None
    changed_at: datetime
    reason: str | None
    comment: str | None
    digest: bytes
    origin: Origin

    @property
    def fine(self) -> FineKey:
        return FineKey(self.key.institution_id, self.fine_id)


@dataclass(frozen=True, slots=True)
class BursarPayment:
    """An ERP's word on a fine; `amount` is positive, None where the kind has none."""

    key: SourceKey
    kind: PaymentKind
    bursar_transaction_id: str | None
    fine_id: str | None
    amount: int | None
    currency: str | None
    paid_at: datetime
    reverses_payment_id: str | None
    status_code: str | None
    comment: str | None
    digest: bytes
    origin: Origin

    @property
    def line_key(self) -> LineKey | None:
        named = self.bursar_transaction_id
        return None if named is None else LineKey(self.key.institution_id, named)

    @property
    def original(self) -> SourceKey | None:
        named = self.reverses_payment_id
        return None if named is None else SourceKey(self.key.institution_id, self.key.source, named)


@dataclass(frozen=True, slots=True)
class ExportResponse:
    """The bursar's answer to a batch; `control_total` is wire text: the currency is the batch's."""

    key: SourceKey
    batch: BatchKey
    outcome: ResponseOutcome
    reason: str | None
    refused_lines: tuple[tuple[str, str], ...]  # (bursar transaction id, reason)
    control_count: int | None
    control_total: str | None
    responded_at: datetime
    digest: bytes
    origin: Origin


@dataclass(frozen=True, slots=True)
class ExportFine:
    """One eligible fine, claimed by a run for a batch; decided under its account's lock."""

    fine: FineKey
    batch: BatchKey
    bursar_transaction_id: str
    terms: Terms
    cutoff: datetime


Incoming = FineCreated | FineChanged | BursarPayment | ExportResponse
ParkedKey = tuple[str, SourceKey]  # "payment" or "change", and the identity
WaitQueue = FineKey | SourceKey  # the records that wait for a fine, or behind a payment


def institution_of(event: Incoming) -> str:
    return (event.facts if isinstance(event, FineCreated) else event.key).institution_id


@dataclass(frozen=True, slots=True)
class ParkedDecision:
    """What an operator decides about a parked record, with the queues in which it waits."""

    key: SourceKey
    is_change: bool
    fine: FineKey | None
    original: SourceKey | None

    @property
    def parked_key(self) -> ParkedKey:
        """The key of the record among parked records."""
        return ("change" if self.is_change else "payment", self.key)

    @property
    def queues(self) -> tuple[WaitQueue, ...]:
        """The queue of its fine and that of the payment that it reverses, if there are any."""
        return tuple(queue for queue in (self.fine, self.original) if queue is not None)


class Release(ParkedDecision):
    """The record goes on; one that is held for its excess is taken as a payment and a credit."""


class Discard(ParkedDecision):
    """The record is given up: rejected as `discarded`, with its bytes."""


@dataclass(frozen=True, slots=True)
class ReleaseFine:
    """An operator offers a fine that is held back (refused, not exportable) to the next run."""

    fine: FineKey


@dataclass(frozen=True, slots=True)
class Replay:
    """An operator's second try of a rejected record: decided afresh under its own identity."""

    event: Incoming


Event = Incoming | ExportFine | Release | Discard | ReleaseFine | Replay
Parkable = FineChanged | BursarPayment


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that was rejected: recorded with its bytes, published, nothing else changes."""

    reason: Reason
    detail: str  # field and rule, never a value
    origin: Origin
    institution_id: str | None = None


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record on which the program failed: parked as an internal error, with its bytes."""

    origin: Origin
    institution_id: str
    error: str  # the error's name, never its text
    fine_id: str | None = None  # of a change: its fine is not exported meanwhile


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """A sound record that has to wait; `arrival` orders the old ones, new ones come after them."""

    event: Parkable
    wait: Wait
    fine_id: str | None  # the lane: tried before anything newer for this fine
    original: SourceKey | None  # the payment a reversal waits for
    arrival: int | None = None

    @property
    def is_change(self) -> bool:
        return isinstance(self.event, FineChanged)


def parked_key(event: Parkable) -> ParkedKey:
    """The key of an event among parked records: a change and a payment may have the same id."""
    return ("change" if isinstance(event, FineChanged) else "payment", event.key)
