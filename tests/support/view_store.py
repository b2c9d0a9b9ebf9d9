"""What the fold reads and writes, kept between folds: its own input and output, no database.

Puts are strict like the tables: an added key must be new, a changed one must be known.
"""

from collections.abc import Hashable, Mapping, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from service.core import ledger, rules
from service.core.adopted import AdoptedLine, AdoptedState
from service.core.amendment import NOT_AMENDED, Amendment
from service.core.batches import ExportLine, LoanClosed, Response, SealedBatch
from service.core.changes import Transaction
from service.core.credits import REDUCTIONS, CreditHistory, credited, has_closed_on_export
from service.core.events import Event, ParkedEvent, ParkedKey, Rejection, WaitQueue
from service.core.ledger import Account, AccountKey, BatchKey, Fine, FineKey, LibraryRef, SourceKey
from service.core.shares import LumpRule, LumpSum
from service.core.words import BatchState, Kind, LineState, Status
from service.core.workspace import Changes, LoanKey, PatronKey, View

Id = TypeVar("Id", bound=Hashable)
Row = TypeVar("Row")


@dataclass
class Store:
    """Tables in memory. `fold` decides and writes; a poll is one call."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    patrons: dict[PatronKey, ledger.Patron] = field(default_factory=dict)
    fines: dict[FineKey, Fine] = field(default_factory=dict)
    payments: dict[SourceKey, ledger.Payment] = field(default_factory=dict)
    changes: dict[SourceKey, ledger.Change] = field(default_factory=dict)
    responses: dict[SourceKey, Response] = field(default_factory=dict)
    lines: dict[ledger.LineKey, ExportLine] = field(default_factory=dict)
    batches: dict[BatchKey, SealedBatch] = field(default_factory=dict)
    parked: dict[ParkedKey, ParkedEvent] = field(default_factory=dict)
    sums: dict[SourceKey, LumpSum] = field(default_factory=dict)
    lump_rules: dict[str, LumpRule] = field(default_factory=dict)
    loans: dict[LoanKey, LoanClosed] = field(default_factory=dict)
    amendments: dict[FineKey, Amendment] = field(default_factory=dict)
    adopted: dict[ledger.LineKey, AdoptedLine] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    arrivals: int = 0

    def copy(self) -> "Store":
        """Tables of its own; the rows are frozen and shared."""
        copied = Store()
        for name, table in vars(self).items():
            setattr(copied, name, copy(table))
        return copied

    def view(self) -> View:
        return View(
            accounts=dict(self.accounts),
            patrons=dict(self.patrons),
            fines=dict(self.fines),
            payments=dict(self.payments),
            changes=dict(self.changes),
            responses=dict(self.responses),
            lines=dict(self.lines),
            batches=dict(self.batches),
            parked=dict(self.parked),
            sums=dict(self.sums),
            lump_rules=self.lump_rules,
            export_numbers=self._export_numbers(),
            loans_closed=frozenset(self.loans),
            credit_histories=_credit_histories(self.transactions),
            lines_wait=any(self._waiting_lines()),
            adopted=self._waiting_lines(),
        )

    def _waiting_lines(self) -> dict[ledger.LineKey, AdoptedLine]:
        return {k: row for k, row in self.adopted.items() if row.state is AdoptedState.WAITING}

    def _export_numbers(self) -> dict[ledger.LineKey, int]:
        """Those of the batches that are sealed: they are numbered in the order of their sealing."""
        number_of = {key: number for number, key in enumerate(self.batches, start=1)}
        return {
            key: number_of[each.batch]
            for key, each in self.lines.items()
            if each.batch in number_of
        }

    def fold(self, *events: Event, queues: Sequence[WaitQueue] = ()) -> Changes:
        """The events as one poll, written."""
        changes = rules.fold(self.view(), events, queues)
        self.write(changes)
        return changes

    def write(self, changes: Changes) -> None:
        self._post(changes)
        self._write_parked(changes)
        self.patrons |= {(p.institution_id, p.patron_id): p for p in changes.patrons.written}
        _add(self.fines, {fine.facts.key: fine for fine in changes.fines.added})
        _change(self.fines, {fine.facts.key: fine for fine in changes.fines.changed})
        self.amendments |= {fine.facts.key: fine.amendment for fine in changes.amended}
        _add(self.payments, {row.key: row for row in changes.payments.added})
        _change(self.payments, {row.key: row for row in changes.payments.changed})
        _add(self.sums, {row.key: row for row in changes.sums.added})
        _change(self.sums, {row.key: row for row in changes.sums.changed})
        _add(self.changes, {row.key: row for row in changes.changes.added})
        _change(self.changes, {row.key: row for row in changes.changes.changed})
        _add(self.responses, {row.key: row for row in changes.responses.added})
        _add(self.lines, {row.key: row for row in changes.lines.added})
        _change(self.lines, {row.key: row for row in changes.lines.changed})
        _change(self.batches, {row.key: row for row in changes.batches.changed})
        _change(self.adopted, {row.key: row for row in changes.adopted.changed})
        assert changes.adopted.added == ()
        loans = [
            ((closed.institution_id, closed.loan_id), closed) for closed in changes.loans_closed
        ]
        assert len(dict(loans)) == len(loans)
        _add(self.loans, dict(loans))
        self.rejections.extend(changes.rejections)
        for outcome, times in changes.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + times

    def seal(self, key: BatchKey, currency: str) -> SealedBatch:
        """The batch of the lines that are there, as the export job would seal it."""
        amounts = [line.amount for line in self.lines.values() if line.batch == key]
        batch = SealedBatch(key, currency, len(amounts), sum(amounts), BatchState.SEALED)
        _add(self.batches, {key: batch})
        return batch

    def _post(self, changes: Changes) -> None:
        """Transactions continue each account without a gap, and end in its row."""
        heads = dict(self.accounts)
        for line in changes.transactions:
            key = line.fine.facts.account
            head = heads.get(key, Account(key))
            assert line.before == head
            assert line.after.sequence == head.sequence + 1
            heads[key] = line.after
        for account in changes.accounts.written:
            self.accounts[account.key] = account
        assert heads == self.accounts
        self.transactions.extend(changes.transactions)

    def _write_parked(self, changes: Changes) -> None:
        for key in changes.parked.removed:
            del self.parked[key]
        for item in changes.parked.added:
            self.arrivals += 1
            _add(self.parked, {_parked_key(item): replace(item, arrival=self.arrivals)})
        _change(self.parked, {_parked_key(item): item for item in changes.parked.changed})


def _credit_histories(transactions: Sequence[Transaction]) -> dict[FineKey, CreditHistory]:
    """What the ledger says of each credit that names a fine."""
    latest: dict[FineKey, Fine] = {}
    histories: dict[FineKey, CreditHistory] = {}
    for transaction in transactions:
        fine, kind = transaction.fine, transaction.kind
        key = fine.facts.key
        latest[key] = fine
        if fine.facts.credit_of is None:
            continue
        history = histories.get(key, CreditHistory())
        if kind is Kind.CREDIT:
            by_change = isinstance(transaction.cause, LibraryRef)
            history = CreditHistory(is_excess=transaction.is_excess, is_of_change=by_change)
        elif kind in REDUCTIONS:
            history = replace(history, reduced=history.reduced + transaction.amount)
        elif kind is Kind.EXPORT:
            other = credited(fine, latest)
            followed = other is not None and has_closed_on_export(other)
            history = replace(history, followed=followed)
        histories[key] = history
    return histories


def tables(store: Store) -> Mapping[str, object]:
    """Everything that has to be the same however the records were cut."""
    return {name: value for name, value in vars(store).items() if name != "arrivals"}


def sound(store: Store) -> None:
    """Law 1, and what the database's own constraints would say."""
    active: dict[AccountKey, int] = dict.fromkeys(store.accounts, 0)
    transferred = dict(active)
    for fine in store.fines.values():
        active[fine.facts.account] += fine.remaining
        transferred[fine.facts.account] += fine.outstanding
        _sound_fine(fine)
        assert store.amendments.get(fine.facts.key, NOT_AMENDED) == fine.amendment
    for key, account in store.accounts.items():
        assert (account.active, account.transferred) == (active[key], transferred[key])
    moved: dict[AccountKey, int] = dict.fromkeys(store.accounts, 0)
    for line in store.transactions:
        key = line.fine.facts.account
        moved[key] += line.after.active - line.before.active
        moved[key] += line.after.transferred - line.before.transferred
    assert moved == {key: row.active + row.transferred for key, row in store.accounts.items()}
    _sound_lines(store)


def _sound_fine(fine: Fine) -> None:
    low, high = sorted((0, fine.amount))
    assert low <= fine.remaining <= high
    assert low <= fine.outstanding <= high
    assert fine.payments_live >= 0
    if fine.is_open_in_library:
        assert fine.remaining != 0
        assert (fine.outstanding, fine.bursar_transaction_id) == (0, None)
    else:
        assert fine.remaining == 0
    if fine.outstanding:
        assert fine.status is Status.TRANSFERRED


def _sound_lines(store: Store) -> None:
    live = [
        (line.key.institution_id, line.fine_id, line.key.bursar_transaction_id)
        for line in store.lines.values()
        if line.state is LineState.LIVE
    ]
    exported = [
        (fine.facts.institution_id, fine.facts.fine_id, fine.bursar_transaction_id)
        for fine in store.fines.values()
        if fine.bursar_transaction_id is not None
    ]
    assert sorted(live) == sorted(exported)


def _parked_key(item: ParkedEvent) -> ParkedKey:
    return ("change" if item.is_change else "payment", item.event.key)


def _add(table: MutableMapping[Id, Row], rows: Mapping[Id, Row]) -> None:
    for key, row in rows.items():
        assert key not in table, f"added twice: {key}"
        table[key] = row


def _change(table: MutableMapping[Id, Row], rows: Mapping[Id, Row]) -> None:
    for key, row in rows.items():
        assert key in table, f"changed before it was added: {key}"
        table[key] = row
