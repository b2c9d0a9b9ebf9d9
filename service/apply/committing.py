"""One transaction, repeated while a rival is in the way, and without the parked records that fail.

A commit may set records free that were parked before. If the program fails on one of them, or the
database refuses what it causes, that record is set apart and the commit is made without it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import structlog

from ..core.events import ParkedKey, parked_key
from ..core.parked import ParkedFailure
from ..core.workspace import Changes
from ..database.failed_records import put_parked_failures
from ..database.session import Connection, Writes, statements
from ..runtime.crash import crash_point
from ..runtime.failures import BAD_CONTENT, RETRYABLE, TRANSIENT
from ..runtime.problems import describe
from .isolation import InternalErrors, is_of_the_program, name_of
from .tally import Tally, TallyInMetrics, TallySink

log = structlog.get_logger()

# The error of records that are marked only to see whether the commit goes through without them.
TRIAL = "trial"

R = TypeVar("R")
Work = Callable[[Connection], Awaitable[R]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lock and a statement may take, in ms; None: as long as the session allows."""

    lock_ms: int | None = None
    statement_ms: int | None = None

    async def apply_to(self, connection: Connection) -> None:
        """Limits the transaction that is open; a session's own limit is never raised."""
        limits = {"lock_timeout": self.lock_ms, "statement_timeout": self.statement_ms}
        named = {name: ms for name, ms in limits.items() if ms is not None}
        if named:
            query = statements("ledger")["limit_waits"]
            await connection.fetch(query, list(named), list(named.values()))


class _TakenBack(Exception):
    """A trial went through: its transaction is rolled back."""


class Committer:
    """The transactions of one writer."""

    def __init__(
        self,
        writer: Writes,
        tries_max: int,
        internal_errors: InternalErrors,
        counting: TallySink | None = None,
    ) -> None:
        self.writer = writer
        self.retries: Counter[str] = Counter()
        self._tries_max = tries_max
        self._internal_errors = internal_errors
        self.counting = counting or TallyInMetrics()
        self.tally = Tally()  # of the transaction that is open
        self._freed: dict[ParkedKey, None] = {}

    async def answers(self) -> bool:
        """Whether the database is there at all."""
        try:
            async with self.writer.pool.acquire() as connection:
                await connection.fetchval(statements("ledger")["clock"])
        except TRANSIENT:
            return False
        return True

    def note_freed(self, changes: Changes) -> None:
        """The work in hand writes `changes`: what they set free may be why it is refused."""
        moved = [item for item in changes.parked.changed if item.arrival is not None]
        self._freed |= dict.fromkeys(changes.parked.removed)
        self._freed |= dict.fromkeys(parked_key(item.event) for item in moved)

    async def run(
        self, work: Work[R], spared: Collection[ParkedKey] = (), patience: Patience | None = None
    ) -> R:
        """What `work` returns. It is called anew for each try, with a transaction of its own.

        For a parked record of `spared` that fails, ParkedFailure is raised instead of setting it
        apart. With `patience` a lock timeout is raised at once, without it the commit is repeated.
        """
        sets_apart, repeats, passed = False, 0, 0
        while True:
            try:
                done = await self._tried(work, patience)
            except ParkedFailure as problem:
                failure = problem
            except BAD_CONTENT as problem:
                traced = await self._traced(work, problem, patience)
                if traced is None:  # the refusal is over by itself
                    passed += 1
                    if passed == self._tries_max:
                        raise
                    continue
                failure = traced
            else:
                self._internal_errors.commit_ended(sets_apart=sets_apart, frees=bool(self._freed))
                return done
            if any(key in spared for key in failure.keys):
                raise failure
            is_new = await self._set_apart(failure, is_first=not sets_apart)
            sets_apart, repeats = True, 0 if is_new else repeats + 1
            if repeats > self._internal_errors.in_a_row_max:
                raise self._internal_errors.too_many(name_of(failure.__cause__ or failure))

    async def _tried(self, work: Work[R], patience: Patience | None) -> R:
        tries = 1
        while True:
            try:
                return await self._in_transaction(work, patience)
            except RETRYABLE as error:
                is_lock = isinstance(error, asyncpg.LockNotAvailableError)
                if tries == self._tries_max or (is_lock and patience is not None):
                    raise
                tries += 1
                self.retries[type(error).__name__] += 1
                self.counting.retrying(type(error).__name__)

    async def _in_transaction(self, work: Work[R], patience: Patience | None) -> R:
        self._freed, self.tally = {}, Tally()
        tally = self.tally
        async with self.writer.transaction() as connection:
            if patience is not None:
                await patience.apply_to(connection)
            done = await work(connection)
            await self.counting.keep(connection, tally)
            crash_point("before_commit")
        self.counting.committed(tally)
        crash_point("after_commit")
        return done

    async def _traced(
        self, work: Work[R], error: Exception, patience: Patience | None
    ) -> ParkedFailure | None:
        """The parked record that makes the database refuse the commit; None if it does no longer.

        Raises `error` if the commit is refused without all of those that it sets free, too.
        Otherwise the records are admitted again, oldest first, and the first one with which the
        commit is refused is the cause. A trial marks the others and is rolled back.
        """
        freed = tuple(self._freed)
        if not freed or await self._is_refused(work, freed, patience):
            raise error
        goes_through, is_refused = 0, len(freed)
        while is_refused - goes_through > 1:
            middle = (goes_through + is_refused) // 2
            if await self._is_refused(work, freed[middle:], patience):
                is_refused = middle
            else:
                goes_through = middle
        if is_refused == len(freed) and not await self._is_refused(work, (), patience):
            return None
        failure = ParkedFailure((freed[goes_through],))
        failure.__cause__ = error
        return failure

    async def _is_refused(
        self, work: Work[R], left_out: Sequence[ParkedKey], patience: Patience | None
    ) -> bool:
        async def trial(connection: Connection) -> None:
            await put_parked_failures(connection, left_out, TRIAL)
            await work(connection)
            raise _TakenBack

        try:
            await self._tried(trial, patience)
        except BAD_CONTENT:
            return True
        except Exception as problem:
            # Whatever else the program raises is not what the commit was refused for.
            if not is_of_the_program(problem):
                raise
        return False

    async def _set_apart(self, failure: ParkedFailure, *, is_first: bool) -> bool:
        """The records wait for a person from now on. False: a rival has seen to all of them."""
        cause = failure.__cause__ or failure
        if is_first:
            self._internal_errors.require_room(name_of(cause))
        marked = await self._in_transaction(
            lambda connection: put_parked_failures(connection, failure.keys, name_of(cause)), None
        )
        count, name = len(failure.keys), name_of(cause)
        log.error("parked_record_failed", records=count, error=name, problem=describe(cause))
        return marked > 0
