"""What one fold changes: the rows of the tables, and the transactions (rules.md, 1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Generic, TypeVar

from .ledger import Account, Cause, Fine, PaymentRef
from .words import Kind

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changed(Generic[K, V]):
    """What a fold did to the rows of one table, each in the order of its first change."""

    added: tuple[V, ...]
    changed: tuple[V, ...]
    removed: Mapping[K, V]

    @property
    def written(self) -> tuple[V, ...]:
        """All rows that were added or changed, the added ones first."""
        return self.added + self.changed


class ChangeTracker(Generic[K, V]):
    """The rows of one table during a fold, and which of them differ from what was read."""

    def __init__(self, read: Mapping[K, V]) -> None:
        self._read = read
        self._now: dict[K, V] = dict(read)
        self.writes = 0  # those that may let a parked record go on

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def get(self, key: K | None) -> V | None:
        """The row as it is now. None if there is none, or if there is no key."""
        return None if key is None else self._now.get(key)

    def put(self, key: K, value: V, *, can_unblock: bool = True) -> None:
        """Adds or replaces a row. `can_unblock`: whether a parked record may be applicable then."""
        self._now[key] = value
        self.writes += can_unblock

    def remove(self, key: K) -> None:
        """Takes a row away. Raises KeyError if there is none."""
        del self._now[key]
        self.writes += 1

    @property
    def now(self) -> Mapping[K, V]:
        """All rows as they are now, those that were read first."""
        return self._now

    def changes(self) -> Changed[K, V]:
        """Returns which rows are new, and which of the others have changed or are gone."""
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
    """One entry of the ledger: the account before and after it, the fine after it, its cause."""

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
        """Whether it is the credit made of the excess of a payment; others name no payment."""
        return self.kind is Kind.CREDIT and isinstance(self.cause, PaymentRef)

    @property
    def transaction_id(self) -> str:
        """The `ce_id` of its event: 32 hexadecimal digits made of account, epoch and sequence."""
        after = self.after
        text = "\n".join((*after.key, str(after.epoch), str(after.sequence)))
        return sha256(text.encode()).hexdigest()[:32]
