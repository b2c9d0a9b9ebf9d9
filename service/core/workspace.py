"""The working copy that one fold changes: what was read, what it became, what to publish."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeVar

from .batches import ExportLine, Response, SealedBatch
from .events import ParkedEvent, Rejection
from .ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineKey,
    LineKey,
    LoanClosed,
    Patron,
    Payment,
    SourceKey,
    Transaction,
)
from .outcomes import Effect

K = TypeVar("K")
V = TypeVar("V")

PatronKey = tuple[str, str]
LoanKey = tuple[str, str]
ParkedKey = tuple[str, SourceKey]  # "payment" or "change", and the identity
WaitQueue = FineKey | SourceKey  # what waits for a fine, or behind a payment


class ParkedFailure(Exception):
    """Parked records cannot be read or decided any more; the cause is what was raised."""

    def __init__(self, keys: tuple[ParkedKey, ...]) -> None:
        super().__init__(f"{len(keys)} parked records")
        self.keys = keys


@dataclass(frozen=True, slots=True)
class Changed(Generic[K, V]):
    """What a fold did to the rows of one table, each in the order of its first change."""

    added: tuple[V, ...]
    changed: tuple[V, ...]
    removed: Mapping[K, V]

    @property
    def written(self) -> tuple[V, ...]:
        """The rows that were added or changed."""
        return self.added + self.changed


class ChangeTracker(Generic[K, V]):
    """What was read, and over it what a fold put: knows what was added, changed and removed."""

    def __init__(self, read: Mapping[K, V]) -> None:
        self._read = read
        self._now: dict[K, V] = dict(read)
        self.writes = 0

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def get(self, key: K) -> V | None:
        return self._now.get(key)

    def put(self, key: K, value: V) -> None:
        self._now[key] = value
        self.writes += 1

    def remove(self, key: K) -> None:
        del self._now[key]
        self.writes += 1

    @property
    def now(self) -> Mapping[K, V]:
        return self._now

    def changes(self) -> Changed[K, V]:
        """What has become of the rows that were read, and which rows are new."""
        read, now = self._read, self._now
        return Changed(
            added=tuple(value for key, value in now.items() if key not in read),
            changed=tuple(
                value
                for key, value in now.items()
                if (before := read.get(key)) is not None and before is not value and before != value
            ),
            removed={key: value for key, value in read.items() if key not in now},
        )


@dataclass(frozen=True, slots=True)
class View:
    """What the database held for these events, read under the locks of their accounts."""

    accounts: Mapping[AccountKey, Account] = field(default_factory=dict)
    patrons: Mapping[PatronKey, Patron] = field(default_factory=dict)
    fines: Mapping[FineKey, Fine] = field(default_factory=dict)
    payments: Mapping[SourceKey, Payment] = field(default_factory=dict)
    changes: Mapping[SourceKey, Change] = field(default_factory=dict)
    responses: Mapping[SourceKey, Response] = field(default_factory=dict)
    lines: Mapping[LineKey, ExportLine] = field(default_factory=dict)
    batches: Mapping[BatchKey, SealedBatch] = field(default_factory=dict)
    parked: Mapping[ParkedKey, ParkedEvent] = field(default_factory=dict)  # oldest first
    loans_closed: frozenset[LoanKey] = frozenset()
    recorded_at: datetime | None = None  # by the database's clock


@dataclass(frozen=True, slots=True)
class Changes:
    """What one fold did, table by table; `outcomes` counts events by outcome."""

    accounts: Changed[AccountKey, Account]
    patrons: Changed[PatronKey, Patron]
    fines: Changed[FineKey, Fine]
    payments: Changed[SourceKey, Payment]
    changes: Changed[SourceKey, Change]
    responses: Changed[SourceKey, Response]
    lines: Changed[LineKey, ExportLine]
    batches: Changed[BatchKey, SealedBatch]
    parked: Changed[ParkedKey, ParkedEvent]
    transactions: tuple[Transaction, ...]
    loans_closed: tuple[LoanClosed, ...]
    rejections: tuple[Rejection, ...]
    outcomes: Mapping[str, int]

    def with_rejections(self, rejections: tuple[Rejection, ...]) -> "Changes":
        """The records that could not be read, beside those that the rules reject."""
        outcomes = Counter(self.outcomes)
        outcomes.update(f"rejected:{value.reason}" for value in rejections)
        return replace(self, rejections=rejections + self.rejections, outcomes=outcomes)


class Workspace:
    """Mutable only inside one fold; everything it hands out is frozen."""

    def __init__(self, view: View) -> None:
        self.accounts = ChangeTracker(view.accounts)
        self.patrons = ChangeTracker(view.patrons)
        self.recorded_at = view.recorded_at
        self.fines = ChangeTracker(view.fines)
        self.payments = ChangeTracker(view.payments)
        self.changes = ChangeTracker(view.changes)
        self.responses = ChangeTracker(view.responses)
        self.lines = ChangeTracker(view.lines)
        self.batches = ChangeTracker(view.batches)
        self.parked = ChangeTracker(view.parked)
        self.transactions: list[Transaction] = []
        self.loans_closed: list[LoanClosed] = []
        self.rejections: list[Rejection] = []
        self.outcomes: Counter[str] = Counter()
        self.failures: dict[ParkedKey, Exception] = {}  # what cannot be decided
        self._loans = set(view.loans_closed)
        self._by_fine: dict[FineKey, dict[ParkedKey, None]] = {}
        self._behind: dict[SourceKey, dict[ParkedKey, None]] = {}
        self._rank: dict[ParkedKey, int] = {}
        self._still: dict[WaitQueue, int] = {}
        self._quiet_writes = 0
        for key, item in view.parked.items():
            self._index(key, item)

    def post(self, effect: Effect, traceparent: str | None) -> None:
        """One effect becomes one transaction with the account's next number."""
        fine = effect.fine
        key = fine.facts.account
        before = self.accounts.get(key) or Account(key)
        after = replace(
            before,
            active=before.active + effect.active,
            transferred=before.transferred + effect.transferred,
            sequence=before.sequence + 1,
        )
        self.accounts.put(key, after)
        self.fines.put(fine.facts.key, fine)
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

    def see_patron(self, patron: Patron) -> None:
        """A newer snapshot replaces an older one, never the other way round."""
        key = (patron.institution_id, patron.patron_id)
        known = self.patrons.get(key)
        if known is None or patron.seen_at > known.seen_at:
            self.patrons.put(key, patron)

    def close_loan(self, closed: LoanClosed) -> None:
        key = (closed.institution_id, closed.loan_id)
        if key not in self._loans:
            self._loans.add(key)
            self.loans_closed.append(closed)

    def park(self, key: ParkedKey, item: ParkedEvent) -> None:
        self.parked.put(key, item)
        self._index(key, item)

    def park_newly(self, key: ParkedKey, item: ParkedEvent, remember: Callable[[], None]) -> None:
        """A record that was just decided begins to wait: that lets no other one in its queue move.

        What waits behind it is another queue's: whoever parks has that one settled.
        """
        before = self._writes()
        self.park(key, item)
        remember()
        self._quiet_writes += self._writes() - before

    def are_still(self, queues: Iterable[WaitQueue]) -> bool:
        """Whether the last pass over what waits there moved nothing, and nothing moved since.

        Else a long queue is gone through for each record that comes to wait in it.
        """
        now = self._moves()
        return all(self._still.get(queue) == now or not self._waiting_in(queue) for queue in queues)

    def keep_still(self, queues: Iterable[WaitQueue]) -> None:
        """A pass over these moved nothing."""
        self._still.update(dict.fromkeys(queues, self._moves()))

    def unpark(self, key: ParkedKey) -> None:
        self.parked.remove(key)

    def ranked(self, queues: Iterable[WaitQueue]) -> list[tuple[int, ParkedKey]]:
        """All that waits in the queues, and behind those again, with its rank by age; any order."""
        found: dict[ParkedKey, None] = {}
        todo = [key for queue in queues for key in self._waiting_in(queue)]
        while todo:
            key = todo.pop()
            if key not in found:
                found[key] = None
                todo.extend(self._waiting_in(key[1]))
        return [(self._rank[key], key) for key in found]

    def changes_made(self) -> Changes:
        return Changes(
            accounts=self.accounts.changes(),
            patrons=self.patrons.changes(),
            fines=self.fines.changes(),
            payments=self.payments.changes(),
            changes=self.changes.changes(),
            responses=self.responses.changes(),
            lines=self.lines.changes(),
            batches=self.batches.changes(),
            parked=self.parked.changes(),
            transactions=tuple(self.transactions),
            loans_closed=tuple(self.loans_closed),
            rejections=tuple(self.rejections),
            outcomes=dict(self.outcomes),
        )

    def lines_of(self, batch: BatchKey) -> dict[str, ExportLine]:
        """By bursar id, in their order, however they were read: a refusal posts them in it."""
        of_batch = (line for line in self.lines.now.values() if line.batch == batch)
        found = sorted(of_batch, key=lambda line: int(line.key.bursar_transaction_id))
        return {line.key.bursar_transaction_id: line for line in found}

    def _moves(self) -> int:
        return self._writes() - self._quiet_writes

    def _writes(self) -> int:
        """Of all that a decision looks at."""
        looked_at = (self.fines, self.lines, self.payments, self.parked)
        return sum(tracker.writes for tracker in looked_at)

    def _waiting_in(self, queue: WaitQueue) -> Iterable[ParkedKey]:
        found = self._by_fine.get(queue) if isinstance(queue, FineKey) else self._behind.get(queue)
        return tuple(found or ())

    def _index(self, key: ParkedKey, item: ParkedEvent) -> None:
        self._rank.setdefault(key, len(self._rank))
        if item.fine_id is not None:
            queue = FineKey(item.event.key.institution_id, item.fine_id)
            self._by_fine.setdefault(queue, {})[key] = None
        if item.original is not None:
            self._behind.setdefault(item.original, {})[key] = None
