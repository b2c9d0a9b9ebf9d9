"""Collects what events refer to: the keys of all accounts, fines and other rows that a commit has
to lock and read before the rules decide about the events. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, assert_never

from ..core.after_export import CREDITED_KINDS, change_credit_id
from ..core.batches import ExportLine
from ..core.events import (
    BursarPayment,
    Discard,
    DropLine,
    Event,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    GiveLine,
    ParkedKey,
    Release,
    ReleaseFine,
    Replay,
    TakeLines,
    WaitQueue,
)
from ..core.ledger import (
    AccountKey,
    BatchKey,
    Fine,
    FineFacts,
    FineKey,
    LineKey,
    Payment,
    SourceKey,
)
from ..core.payments import excess_credit_id
from ..core.shares import SumQueue
from ..core.words import ResponseOutcome
from ..core.workspace import LoanKey, PatronKey, View
from ..runtime.failures import StaleRead


class FineVersion(NamedTuple):
    """A fine that was read before, and the version of its row at that time; used only for fines
    without an amendment.
    """

    fine: Fine
    version: int


NO_VERSIONS: Mapping[FineKey, FineVersion] = MappingProxyType({})


@dataclass(slots=True)
class References:
    """The keys of everything that a set of events refers to.

    `created` has the account of each fine that the events create. `parked` has the identities of
    parked records to read, and `without` those of parked records not to read. `accounts` has the
    accounts of the `fines`, if the caller knows them, which spares looking them up. `is_export`
    says that the events export the fines; then closed loans, and credits and their fines, are read,
    too. `whole_batches` are the batches of which a response refuses all lines, and `refused_lines`
    the single lines that responses refuse. `sums` are the accounts of payments that name only a
    patron (sums without a line). `exported` are the accounts of which fines are being exported, so
    that waiting sums of these accounts are tried again. `credited` are the fines that newly created
    credits name as theirs, and `loans` the loans of newly created fines. `versions` has fines that
    the caller has read already, before their accounts were locked.
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
    whole_batches: set[BatchKey] = field(default_factory=set)
    refused_lines: set[LineKey] = field(default_factory=set)
    is_export: bool = False
    sums: set[AccountKey] = field(default_factory=set)
    exported: set[AccountKey] = field(default_factory=set)
    credited: set[FineKey] = field(default_factory=set)
    loans: set[LoanKey] = field(default_factory=set)
    parked: set[tuple[str, str, str, str]] = field(default_factory=set)
    without: set[ParkedKey] = field(default_factory=set)
    versions: Mapping[FineKey, FineVersion] = field(default_factory=dict)

    @property
    def may_need_credits(self) -> bool:
        """Whether the rules may need the credits of fines to decide about these events; parked
        changes, which may need them as well, are not looked at here.
        """
        return bool(self.is_export or self.changes or self.whole_batches or self.refused_lines)

    def fines_reached(
        self, lines: Iterable[ExportLine], payments: Mapping[SourceKey, Payment]
    ) -> set[FineKey]:
        """Returns the existing fines and credits that the events may change; fines that the events
        create are left out.

        `lines` and `payments` are the stored export lines and payments that the events refer to.
        """
        # Another record with the identity of a known payment is a repeat or a conflict, whatever
        # fine it names. Only reversals reach the fine and the credit of a known payment.
        originals = [payments[key] for key in self.originals & payments.keys()]
        reached = self.fines | fines_named_by(lines) | fines_named_by(originals)
        reached |= self.credits - credits_made_by(payments.values())
        return reached | credits_made_by(originals)

    def add(self, event: Event) -> None:
        """Adds the keys of everything that the event refers to."""
        match event:
            case FineCreated():
                self._add_created(event.facts)
            case FineChanged():
                self.changes.add(event.key)
                self.fines.add(event.fine)
                if event.kind in CREDITED_KINDS:
                    # The change may make this credit, for which other records may wait.
                    home = event.key.institution_id
                    self.credits.add(FineKey(home, change_credit_id(event.key)))
            case BursarPayment():
                self._add_payment(event)
            case ExportResponse():
                self.responses.add(event.key)
                self.batches.add(event.batch)
                self._add_response(event)
            case ExportFine() | ReleaseFine() | TakeLines():
                self.fines.add(event.fine)
            case GiveLine() | DropLine():
                self.fines.add(event.fine)
                self.lines.add(event.line)
            case Release() | Discard():
                self._add_parked(event)
            case Replay():
                self.add(event.event)
            case _:
                assert_never(event)

    def _add_created(self, facts: FineFacts) -> None:
        # The first one counts: another with the same id is a repeat or a conflict.
        self.created.setdefault(facts.key, facts.account)
        if facts.credit_of is not None:
            self.credited.add(FineKey(facts.institution_id, facts.credit_of))
        if facts.loan_id is not None:
            self.loans.add((facts.institution_id, facts.loan_id))

    def _add_response(self, event: ExportResponse) -> None:
        if event.outcome is ResponseOutcome.REFUSED:
            self.whole_batches.add(event.batch)
        home = event.key.institution_id
        self.refused_lines.update(LineKey(home, named) for named, _ in event.refused_lines)

    def _add_parked(self, event: Release | Discard) -> None:
        record = "change" if event.is_change else "payment"
        self.parked.add((event.key.institution_id, record, event.key.source, event.key.id))
        self.payments.add(event.key)
        if event.fine is not None:
            self.fines.add(event.fine)
        if event.account is not None:
            self.sums.add(event.account)
        if event.original is not None:
            # The record waits behind its original.
            self.payments.add(event.original)
            self.originals.add(event.original)
        self.credits.add(FineKey(event.key.institution_id, excess_credit_id(event.key)))

    def _add_payment(self, event: BursarPayment) -> None:
        self.payments.add(event.key)
        if event.line_key is not None:
            self.lines.add(event.line_key)
        if event.original is not None:
            self.originals.add(event.original)
        if event.fine_id is not None:
            self.fines.add(FineKey(event.key.institution_id, event.fine_id))
        if event.account is not None:
            self.sums.add(event.account)
        if event.kind.may_exceed:
            # The excess may become this credit, for which other records may wait.
            self.credits.add(FineKey(event.key.institution_id, excess_credit_id(event.key)))


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A wait queue to be tried again: the parked records that wait for one fine, for one account,
    or for one payment.

    `payment` names one parked payment of the queue that is read by its own key, and `line` the
    export line that it names. A payment is named in this way if its fine does not exist, because
    the queue of such a fine is not read, and if it is a sum without a line.
    """

    queue: WaitQueue
    payment: SourceKey | None = None
    line: LineKey | None = None


def references_of_queues(entries: Iterable[QueueEntry]) -> References:
    """Returns the keys of everything that a commit has to lock and read to try the parked records
    of the queues again.
    """
    references = References()
    for entry in entries:
        if isinstance(entry.queue, FineKey):
            references.fines.add(entry.queue)
        elif isinstance(entry.queue, SumQueue):
            references.sums.add(entry.queue.account)
        else:
            references.payments.add(entry.queue)
            references.originals.add(entry.queue)
        if (key := entry.payment) is not None:
            references.parked.add((key.institution_id, "payment", key.source, key.id))
        if entry.line is not None:
            references.lines.add(entry.line)
    return references


def references_of(events: Iterable[Event]) -> References:
    """Returns the keys of everything that a commit has to lock and read before the rules can decide
    about the events.
    """
    references = References()
    for event in events:
        references.add(event)
    return references


def fines_named_by(values: Iterable[ExportLine] | Iterable[Payment]) -> set[FineKey]:
    """Returns the keys of the fines that export lines or payments name; lines and payments without
    a fine are skipped.
    """
    return {
        FineKey(value.key.institution_id, value.fine_id)
        for value in values
        if value.fine_id is not None
    }


def credits_made_by(payments: Iterable[Payment]) -> set[FineKey]:
    """Returns the keys of the credits that were made of the excess of overpaid payments."""
    return {
        FineKey(value.key.institution_id, value.credit_id)
        for value in payments
        if value.credit_id is not None
    }


def require_locked(
    fines: Mapping[FineKey, Fine], only_created: Collection[FineKey], locked: View
) -> None:
    """Raises StaleRead if the account of one of the fines is not locked; the caller then locks and
    reads again.

    An account can be missing among the locked ones if another commit adds a line or a payment of
    its fine after the accounts were looked up and before they were locked. Fines in `only_created`
    need no lock: the events only try to create them once more, which changes nothing.
    """
    for key, fine in fines.items():
        if fine.facts.account not in locked.accounts and key not in only_created:
            raise StaleRead("a fine of an account that is not locked")
