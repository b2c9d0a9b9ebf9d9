"""A sequence that is applied in parts, and how long each part may wait.

The time for locks, and for statements, is spent once. After that the parts are tried for a short
time only, so that it is soon known which record is the one that has to wait. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg

from .committing import Patience

T = TypeVar("T")

# A lock that is held for longer than this is waited for later. Ordinary commits are shorter.
SHORT_LOCK_MS = 100
SHORT_STATEMENT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What one commit is tried with. `is_last_try`: its statements have all of their time."""

    items: tuple[T, ...]
    patience: Patience
    is_last_try: bool


class Parts(Generic[T]):
    """The parts that are left; the one that was added last comes first."""

    def __init__(self, *, is_hurried: bool = False) -> None:
        """`is_hurried`: it is known already that somebody holds a lock for long."""
        self._parts: list[tuple[tuple[T, ...], bool]] = []
        self._lock_ms = SHORT_LOCK_MS if is_hurried else None
        self._statement_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, items: Sequence[T], *, is_last_try: bool = False) -> None:
        if items:
            self._parts.append((tuple(items), is_last_try))

    def take(self) -> Part[T]:
        items, is_last_try = self._parts.pop()
        is_last_try = is_last_try or self._statement_ms is None
        statement_ms = None if is_last_try else self._statement_ms
        return Part(items, Patience(self._lock_ms, statement_ms), is_last_try)

    def hurry(self, error: Exception) -> None:
        """A part ran into this time limit: it is not waited for as long again."""
        if isinstance(error, asyncpg.LockNotAvailableError):
            self._lock_ms = SHORT_LOCK_MS
        else:
            self._statement_ms = SHORT_STATEMENT_MS

    def put_again(self, part: Part[T], error: Exception) -> bool:
        """Halves of the part, or the one item with more time; False: it has had its last try."""
        if len(part.items) > 1:
            middle = len(part.items) // 2
            self.put(part.items[middle:])
            self.put(part.items[:middle])
            return True
        if part.is_last_try or isinstance(error, asyncpg.LockNotAvailableError):
            return False
        self.put(part.items, is_last_try=True)
        return True
