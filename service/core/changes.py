"""What the rules change while they decide the events of one commit (a fold): rows of tables, and
ledger transactions (rules.md, 1).
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from hashlib import sha256
from typing import Generic, TypeVar

from .frozen import dataclass
from .ledger import Account, Cause, Fine, PaymentRef
from .words import Kind

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changed(Generic[K, V]):
    """The rows of one table that the events of a commit have added, changed and removed, in the
    order of their first change.
    """

    added: tuple[V, ...]
    changed: tuple[V, ...]
    removed: Mapping[K, V]

    @property
    def written(self) -> tuple[V, ...]:
        """All rows that have to be written: first those that were added, then those that were
        changed.
        """
        return self.added + self.changed


class ChangeTracker(Generic[K, V]):
    """The rows of one table in memory while the events of a commit are decided, and which of them
    differ from what was read.
    """

    def __init__(self, read: Mapping[K, V]) -> None:
        self._read = read
        self._now: dict[K, V] = dict(read)
        self.writes = 0  # those that may let a parked record go on

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def get(self, key: K | None) -> V | None:
        """Returns the row with this key as it is in memory now. Returns None if there is no such
        row, or if `key` is None.
        """
        return None if key is None else self._now.get(key)

    def put(self, key: K, value: V, *, can_unblock: bool = True) -> None:
        """Adds or replaces a row. `can_unblock` says whether writing this row might let a parked
        record be applied.
        """
        self._now[key] = value
        self.writes += can_unblock

    def remove(self, key: K) -> None:
        """Takes a row away. Raises KeyError if there is no such row."""
        del self._now[key]
        self.writes += 1

    @property
    def now(self) -> Mapping[K, V]:
        """All rows as they are in memory now: first those that were read, then those that were
        added.
        """
        return self._now

    def changes(self) -> Changed[K, V]:
        """Returns which rows were added, changed and removed since they were read."""
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
class Transaction:
    """One entry of the ledger: the account's balances before and after the entry, the fine after
    it, and what caused it.
    """

    before: Account
    after: Account
    fine: Fine
    kind: Kind
    label: str
    amount: int
    comment: str | None
    cause: Cause
    occurred_at: datetime
    traceparent: str | None = None
    # The `ce_id` of its event: 32 hexadecimal digits made of account, epoch and sequence.
    transaction_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Makes the id once, for the row and for the event."""
        object.__setattr__(self, "transaction_id", _transaction_id(self.after))

    @property
    def active_change(self) -> int:
        """How much the transaction adds to the account's active balance, in minor units."""
        return self.after.active - self.before.active

    @property
    def transferred_change(self) -> int:
        """How much the transaction adds to the account's transferred balance, in minor units."""
        return self.after.transferred - self.before.transferred

    @property
    def is_excess(self) -> bool:
        """Whether the entry creates a credit from the excess of a payment; no other entry of the
        kind `credit` is caused by a payment.
        """
        return self.kind is Kind.CREDIT and isinstance(self.cause, PaymentRef)


def _transaction_id(after: Account) -> str:
    text = "\n".join((*after.key, str(after.epoch), str(after.sequence)))
    return sha256(text.encode()).hexdigest()[:32]
