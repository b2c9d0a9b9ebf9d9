"""What a poll's events name: the keys to lock and to read, as sets; no IO."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from ..core.batches import ExportLine
from ..core.events import (
    BursarPayment,
    Discard,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    ParkedKey,
    Release,
    ReleaseFine,
    Replay,
)
from ..core.ledger import AccountKey, BatchKey, FineKey, LineKey, Payment, SourceKey
from ..core.payments import excess_credit_id
from ..core.words import PaymentKind
from ..core.workspace import PatronKey


@dataclass(slots=True)
class References:
    """Grows while events are looked at; `created` fines bring their accounts themselves.

    `accounts` are those of the `fines`, if the caller knows them: then they are not looked up.
    `with_loans` says that it matters which loans of the fines are closed.
    """

    created: dict[FineKey, AccountKey] = field(default_factory=dict)
    patrons: set[PatronKey] = field(default_factory=set)
    fines: set[FineKey] = field(default_factory=set)
    lines: set[LineKey] = field(default_factory=set)
    payments: set[SourceKey] = field(default_factory=set)
    originals: set[SourceKey] = field(default_factory=set)
    credits: set[FineKey] = field(default_factory=set)
    changes: set[SourceKey] = field(default_factory=set)
    responses: set[SourceKey] = field(default_factory=set)
    batches: set[BatchKey] = field(default_factory=set)
    accounts: set[AccountKey] = field(default_factory=set)
    with_loans: bool = False
    parked: set[tuple[str, str, str, str]] = field(default_factory=set)  # by identity
    without: set[ParkedKey] = field(default_factory=set)  # parked records that are not read

    def add(self, event: Event) -> None:
        match event:
            case FineCreated():
                facts = event.facts
                # The first one counts: another with the same id is a repeat or a conflict.
                self.created.setdefault(facts.key, facts.account)
                self.patrons.add((facts.institution_id, facts.patron_id))
            case FineChanged():
                self.changes.add(event.key)
                self.fines.add(event.fine)
            case BursarPayment():
                self._add_payment(event)
            case ExportResponse():
                self.responses.add(event.key)
                self.batches.add(event.batch)
            case ExportFine() | ReleaseFine():
                self.fines.add(event.fine)
            case Release() | Discard():
                self._add_parked(event)
            case Replay():
                self.add(event.event)
            case _:
                assert_never(event)

    def _add_parked(self, event: Release | Discard) -> None:
        record = "change" if event.is_change else "payment"
        self.parked.add((event.key.institution_id, record, event.key.source, event.key.id))
        self.payments.add(event.key)
        if event.fine is not None:
            self.fines.add(event.fine)
        if event.original is not None:
            # Behind its original lies the record itself.
            self.payments.add(event.original)
            self.originals.add(event.original)
        credit = excess_credit_id(event.key)
        self.credits.add(FineKey(event.key.institution_id, credit))

    def _add_payment(self, event: BursarPayment) -> None:
        self.payments.add(event.key)
        if event.line_key is not None:
            self.lines.add(event.line_key)
        if event.original is not None:
            self.originals.add(event.original)
        if event.fine_id is not None:
            self.fines.add(FineKey(event.key.institution_id, event.fine_id))
        if event.kind is PaymentKind.PAYMENT:
            # Its excess may become this credit, and something may wait for it.
            credit = excess_credit_id(event.key)
            self.credits.add(FineKey(event.key.institution_id, credit))


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a fine, or behind a payment.

    `payment` and `line`: a payment of it that names a line, too. The queue of a fine that is not
    there is not read, and that payment is read by its key.
    """

    lane: FineKey | SourceKey
    payment: SourceKey | None = None
    line: LineKey | None = None


def references_of_queues(queues: Iterable[Queue]) -> References:
    """What has to be locked and read to try again what waits there."""
    named = References()
    for queue in queues:
        if isinstance(queue.lane, FineKey):
            named.fines.add(queue.lane)
        else:
            named.payments.add(queue.lane)
            named.originals.add(queue.lane)
        if (key := queue.payment) is not None:
            named.parked.add((key.institution_id, "payment", key.source, key.id))
        if queue.line is not None:
            named.lines.add(queue.line)
    return named


def references(events: Iterable[Event]) -> References:
    found = References()
    for event in events:
        found.add(event)
    return found


def fines_named_by(values: Iterable[ExportLine] | Iterable[Payment]) -> set[FineKey]:
    """The fines that lines or payments are for, as far as they are known."""
    return {
        FineKey(value.key.institution_id, value.fine_id)
        for value in values
        if value.fine_id is not None
    }


def credits_made_by(payments: Iterable[Payment]) -> set[FineKey]:
    """The credits that were made of their excess."""
    return {
        FineKey(value.key.institution_id, value.credit_id)
        for value in payments
        if value.credit_id is not None
    }
