"""The tables in memory while the rules decide the events of one commit (a fold): the rows that were
read, and what the events change in them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from .adopted import AdoptedLine, WaitingLines
from .amendment import NOT_AMENDED
from .batches import ExportLine, LoanClosed, Response, SealedBatch
from .changes import Changed, ChangeTracker, Transaction
from .credits import Credit, CreditHistory, CreditsOfFines, credited
from .debits import Debits
from .events import (
    Incoming,
    ParkedEvent,
    ParkedKey,
    Rejection,
    WaitQueue,
    parked_key,
)
from .frozen import dataclass
from .ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineKey,
    LineKey,
    Patron,
    Payment,
    SourceKey,
)
from .outcomes import Applied, Effect, Rejected
from .shares import LumpRule, LumpSum, SumQueue
from .words import LineState

PatronKey = tuple[str, str]
LoanKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """The rows that the events of one commit need, read from the database while their accounts are
    locked. `parked` has the parked records in the order in which they arrived. `credit_histories`
    is filled only for the credits of fines that an export, a bursar's answer or a change after an
    export concerns. `recorded_at` is the time of the commit by the database's clock, read after the
    accounts were locked. `lump_rules` has each institution's rule for payments that name only a
    patron, and `export_numbers` has the export numbers by which the fines that such payments may
    pay are ordered. `lines_wait` says whether the database has adopted export lines that wait for
    their fines, and `adopted` has those that the events may concern.
    """

    accounts: Mapping[AccountKey, Account] = field(default_factory=dict)
    patrons: Mapping[PatronKey, Patron] = field(default_factory=dict)
    fines: Mapping[FineKey, Fine] = field(default_factory=dict)
    payments: Mapping[SourceKey, Payment] = field(default_factory=dict)
    changes: Mapping[SourceKey, Change] = field(default_factory=dict)
    responses: Mapping[SourceKey, Response] = field(default_factory=dict)
    lines: Mapping[LineKey, ExportLine] = field(default_factory=dict)
    batches: Mapping[BatchKey, SealedBatch] = field(default_factory=dict)
    parked: Mapping[ParkedKey, ParkedEvent] = field(default_factory=dict)
    sums: Mapping[SourceKey, LumpSum] = field(default_factory=dict)
    lump_rules: Mapping[str, LumpRule] = field(default_factory=dict)
    export_numbers: Mapping[LineKey, int] = field(default_factory=dict)
    loans_closed: frozenset[LoanKey] = frozenset()
    credit_histories: Mapping[FineKey, CreditHistory] = field(default_factory=dict)
    lines_wait: bool = False
    adopted: Mapping[LineKey, AdoptedLine] = field(default_factory=dict)
    recorded_at: datetime = field(default=datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Changes:
    """What the events of one commit have changed, and the number of events by outcome."""

    accounts: Changed[AccountKey, Account]
    patrons: Changed[PatronKey, Patron]
    fines: Changed[FineKey, Fine]
    payments: Changed[SourceKey, Payment]
    changes: Changed[SourceKey, Change]
    responses: Changed[SourceKey, Response]
    lines: Changed[LineKey, ExportLine]
    batches: Changed[BatchKey, SealedBatch]
    parked: Changed[ParkedKey, ParkedEvent]
    sums: Changed[SourceKey, LumpSum]
    adopted: Changed[LineKey, AdoptedLine]
    transactions: tuple[Transaction, ...]
    loans_closed: tuple[LoanClosed, ...]
    rejections: tuple[Rejection, ...]
    outcomes: Mapping[str, int]
    amended: tuple[Fine, ...]  # those of the fines whose amendment is another one

    def with_rejections(self, rejections: tuple[Rejection, ...]) -> "Changes":
        """Returns the changes with the rejections of records that could not be decoded added."""
        outcomes = Counter(self.outcomes)
        outcomes.update(f"rejected:{rejection.reason}" for rejection in rejections)
        return replace(self, rejections=rejections + self.rejections, outcomes=outcomes)


class Workspace:
    """The tables in memory while the events of one commit are decided; rows are immutable."""

    def __init__(self, view: View) -> None:
        self.accounts = ChangeTracker(view.accounts)
        self.patrons = ChangeTracker(view.patrons)
        self.fines = ChangeTracker(view.fines)
        self.payments = ChangeTracker(view.payments)
        self.changes = ChangeTracker(view.changes)
        self.responses = ChangeTracker(view.responses)
        self.lines = ChangeTracker(view.lines)
        self.batches = ChangeTracker(view.batches)
        self.parked = ChangeTracker(view.parked)
        self.sums = ChangeTracker(view.sums)
        self.lump_rules = view.lump_rules
        self.recorded_at = view.recorded_at
        self.transactions: list[Transaction] = []
        self.loans_closed: dict[LoanKey, LoanClosed] = {}
        self.rejections: list[Rejection] = []
        self.outcomes: Counter[str] = Counter()
        self.failures: dict[ParkedKey, Exception] = {}  # parked records that cannot be decided
        self._loans_closed_before = view.loans_closed
        self._fines_before = view.fines
        self._credits = CreditsOfFines(view.fines, view.credit_histories)
        self._queues: dict[WaitQueue, dict[ParkedKey, None]] = {}
        self._rank: dict[ParkedKey, int] = {}
        self._still_since: dict[WaitQueue, int] = {}
        self.adopted = WaitingLines(view.adopted)
        self.debits = Debits(self.fines, {**view.export_numbers, **self.adopted.export_numbers()})
        for line in self.adopted.all():
            self.lines.put(line.key, line.as_line(LineState.WAITING), can_unblock=False)
        for key, item in view.parked.items():
            self._enter_queues(key, item)

    def apply(self, outcome: Applied, traceparent: str | None) -> None:
        """Posts the effects of an outcome; `traceparent` is the trace context of its record."""
        for effect in outcome.effects:
            self.post(effect, traceparent)
        # A payment that was all excess has no transaction on its fine, but it changes the fine.
        if (fine := outcome.fine) is not None and self.fines[key := fine.facts.key] is not fine:
            self.fines.put(key, fine)
        if (closed := outcome.loan_closed) is not None:
            loan = (closed.institution_id, closed.loan_id)
            if loan not in self._loans_closed_before:
                self.loans_closed.setdefault(loan, closed)

    def post(self, effect: Effect, traceparent: str | None) -> None:
        """Makes an effect a ledger transaction with the account's next number."""
        fine = effect.fine
        key = fine.facts.account
        before = self.accounts.get(key) or Account(key)
        after = Account(
            key,
            before.active + effect.active,
            before.transferred + effect.transferred,
            before.sequence + 1,
            before.epoch,
        )
        self.accounts.put(key, after)
        self.fines.put(fine.facts.key, fine)
        if fine.facts.credit_of is not None:
            self._credits.note(effect)
        if effect.transferred:
            self.debits.note(effect)
        self.transactions.append(
            Transaction(
                before,
                after,
                fine,
                effect.kind,
                effect.label,
                effect.amount,
                effect.comment,
                effect.cause,
                effect.occurred_at,
                traceparent,
            )
        )

    def reject(self, event: Incoming, outcome: Rejected) -> None:
        """Notes that a record was rejected, so that it is stored with its bytes and published."""
        self.rejections.append(
            Rejection(outcome.reason, outcome.detail, event.origin, event.key.institution_id)
        )

    def update_patron(self, patron: Patron) -> None:
        """Keeps this snapshot of the patron's data, unless the one known so far is newer."""
        key = (patron.institution_id, patron.patron_id)
        known = self.patrons.get(key)
        if known is None or patron.seen_at > known.seen_at:
            self.patrons.put(key, patron)

    def credits_of(self, fine: Fine) -> list[Credit]:
        """Returns the credits that refer to a fine, in their present state."""
        return self._credits.of(fine, self.fines.now)

    def credited(self, credit: Fine) -> Fine | None:
        """Returns the fine to which a credit refers; None if it refers to none."""
        return credited(credit, self.fines.now)

    def awaits_lines(self, account: AccountKey) -> bool:
        """Whether an adopted export line of a debit of this account waits for its fine."""
        return bool(self.adopted) and self.adopted.are_for(account, self.fines.now)

    def fines_of_batch(self, batch: BatchKey) -> list[FineKey]:
        """Returns the fines of a batch; the database may lack those of adopted lines."""
        lines = (line for line in self.lines.now.values() if line.batch == batch)
        return [FineKey(batch.institution_id, line.fine_id) for line in lines]

    def lines_of(self, batch: BatchKey) -> dict[str, ExportLine]:
        """Returns the export lines of a batch by bursar transaction id, in ascending order. If the
        bursar refuses the whole batch, its lines are posted in this order.
        """
        lines = [line for line in self.lines.now.values() if line.batch == batch]
        lines.sort(key=lambda line: int(line.key.bursar_transaction_id))
        return {line.key.bursar_transaction_id: line for line in lines}

    def park(self, item: ParkedEvent, *, is_new: bool = False) -> None:
        """Parks a record in the wait queues of its fine, of the payment that it reverses, or of its
        account. The queues of a new record need not be tried again, because it unblocks no other
        record in them. Reversals of this record wait in a queue of their own, which the caller
        tries again.
        """
        key = parked_key(item.event)
        self.parked.put(key, item, can_unblock=not is_new)
        self._enter_queues(key, item)

    def by_age(self, queues: Iterable[WaitQueue]) -> list[tuple[int, ParkedKey]]:
        """Returns the records in the queues, and the reversals that wait behind them, each with its
        rank by age. The returned list is not sorted, and may have records that have left their
        queue meanwhile.
        """
        keys: dict[ParkedKey, None] = {}
        todo = [key for queue in queues for key in self._queues.get(queue, ())]
        while todo:
            key = todo.pop()
            if key not in keys:
                keys[key] = None
                todo.extend(self._queues.get(key[1], ()))
        return [(self._rank[key], key) for key in keys]

    def are_still(self, queues: Iterable[WaitQueue]) -> bool:
        """Whether nothing relevant has changed since the parked records of these queues were last
        tried in vain. Without this check, each new record that is parked in a long queue would have
        the whole queue tried again.
        """
        return not self._queues or all(  # nearly always nothing is parked
            queue not in self._queues or self._still_since.get(queue) == self._writes()
            for queue in queues
        )

    def keep_still(self, queues: Iterable[WaitQueue]) -> None:
        """Notes that all parked records of these queues were tried again in vain."""
        self._still_since.update(dict.fromkeys(queues, self._writes()))

    def changes_made(self) -> Changes:
        """Returns what the events of the commit have changed."""
        fines = self.fines.changes()
        return Changes(
            accounts=self.accounts.changes(),
            patrons=self.patrons.changes(),
            fines=fines,
            payments=self.payments.changes(),
            changes=self.changes.changes(),
            responses=self.responses.changes(),
            lines=self.adopted.without_waiting(self.lines.changes()),
            batches=self.batches.changes(),
            parked=self.parked.changes(),
            sums=self.sums.changes(),
            adopted=self.adopted.changes(),
            transactions=tuple(self.transactions),
            loans_closed=tuple(self.loans_closed.values()),
            rejections=tuple(self.rejections),
            outcomes={str(name): count for name, count in self.outcomes.items()},
            amended=tuple(filter(self._is_amended, fines.written)),
        )

    def _is_amended(self, fine: Fine) -> bool:
        if fine.amendment is NOT_AMENDED:  # nearly always, and nothing makes it so again
            return False
        before = self._fines_before.get(fine.facts.key)
        return before is None or fine.amendment != before.amendment

    def _writes(self) -> int:
        """How often anything has changed that decides whether a parked record can go on."""
        trackers = (self.fines, self.lines, self.payments, self.parked)
        return sum(tracker.writes for tracker in trackers)

    def _enter_queues(self, key: ParkedKey, item: ParkedEvent) -> None:
        self._rank.setdefault(key, len(self._rank))
        if item.fine_id is not None:
            queue = FineKey(item.event.key.institution_id, item.fine_id)
            self._queues.setdefault(queue, {})[key] = None
        if item.original is not None:
            self._queues.setdefault(item.original, {})[key] = None
        if item.account is not None:
            self._queues.setdefault(SumQueue(item.account), {})[key] = None
