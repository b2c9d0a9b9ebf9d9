"""Divides a sequence into parts that are committed one by one, each with time limits of its own.

The usual time limits are spent once. After that the parts are tried for a short time only, so that
it is soon known which record has to wait. Pure, but for `Patience.apply_to`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg

from ..database.session import Connection, statements

T = TypeVar("T")

# Ordinary commits hold a lock for a shorter time. A lock that is held longer is waited for later.
SHORT_LOCK_MS = 100
SHORT_STATEMENT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lock and a statement may take, in milliseconds; None: the limit of the session."""

    lock_ms: int | None = None
    statement_ms: int | None = None

    async def apply_to(self, connection: Connection) -> None:
        """Limits the open transaction. A limit of the session that is lower stays."""
        limits = {"lock_timeout": self.lock_ms, "statement_timeout": self.statement_ms}
        given = {name: ms for name, ms in limits.items() if ms is not None}
        if given:
            query = statements("ledger")["limit_waits"]
            await connection.fetch(query, list(given), list(given.values()))


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The items that a commit is tried with. In the last try statements have all of their time."""

    items: tuple[T, ...]
    patience: Patience
    is_last_try: bool


class Parts(Generic[T]):
    """The parts that are left; `take` returns the part that was put last.

    With `is_hurried` it is known from the start that a session holds a lock for long.
    """

    def __init__(self, *, is_hurried: bool = False) -> None:
        self._parts: list[tuple[tuple[T, ...], bool]] = []
        self._lock_ms = SHORT_LOCK_MS if is_hurried else None
        self._statement_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, items: Sequence[T], *, is_last_try: bool = False) -> None:
        """Adds a part, unless it has no items."""
        if items:
            self._parts.append((tuple(items), is_last_try))

    def take(self) -> Part[T]:
        """Removes and returns the part that comes next."""
        items, is_last_try = self._parts.pop()
        is_last_try = is_last_try or self._statement_ms is None
        statement_ms = None if is_last_try else self._statement_ms
        return Part(items, Patience(self._lock_ms, statement_ms), is_last_try)

    def hurry(self, error: Exception) -> None:
        """Shortens the time limit that a part has just exceeded, for all parts that follow."""
        if isinstance(error, asyncpg.LockNotAvailableError):
            self._lock_ms = SHORT_LOCK_MS
        else:
            self._statement_ms = SHORT_STATEMENT_MS

    def put_again(self, part: Part[T], error: Exception) -> bool:
        """Adds the halves of the part, or its only item with more time.

        Returns False, and adds nothing, if the only item has had its last try.
        """
        if len(part.items) > 1:
            middle = len(part.items) // 2
            self.put(part.items[middle:])
            self.put(part.items[:middle])
            return True
        if part.is_last_try or isinstance(error, asyncpg.LockNotAvailableError):
            return False
        self.put(part.items, is_last_try=True)
        return True
