"""Makes one database commit. A commit that fails because of a concurrent transaction is repeated,
and a parked record on which it fails is left out.

A commit may apply or reject records that were parked before, because what they waited for has come.
If the program fails on a record that was parked before, or the database refuses to store the
record's effects, the record is marked as failed and the commit is made again without it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import asyncpg
import structlog

from ..core.events import ParkedKey
from ..core.parked import ParkedFailure
from ..database.failed_records import put_parked_failures
from ..database.session import Connection, Writes, statements
from ..runtime.failures import BAD_CONTENT, RETRYABLE, TRANSIENT
from ..runtime.problems import describe
from ..runtime.process import crash_point
from .isolation import InternalErrors, is_of_the_program, name_of
from .poll import Patience
from .tally import Tally, TallyInMetrics, TallySink

log = structlog.get_logger()

# The error of records that are marked only to see whether the commit goes through without them.
TRIAL = "trial"

R = TypeVar("R")
Work = Callable[[Connection], Awaitable[R]]


class _TrialPassed(Exception):
    """A trial has reached its end; the transaction is rolled back."""


class Committer:
    """Makes the commits of one part of the service, such as the intake, one at a time, and counts
    what each of them did.

    `retries` counts how often a commit was repeated, by the name of the error. `tally` collects the
    counts of the open transaction, and `tally_sink` gets them when the transaction has committed.
    """

    def __init__(
        self,
        writer: Writes,
        tries_max: int,
        internal_errors: InternalErrors,
        tally_sink: TallySink | None = None,
    ) -> None:
        self.writer = writer
        self.retries: Counter[str] = Counter()
        self.tally_sink = tally_sink or TallyInMetrics()
        self.tally = Tally()
        self._tries_max = tries_max
        self._internal_errors = internal_errors
        # The parked records that the open transaction sets free, oldest first.
        self._freed: dict[ParkedKey, None] = {}

    async def answers(self) -> bool:
        """Whether the database answers a simple query."""
        try:
            async with self.writer.pool.acquire() as connection:
                await connection.fetchval(statements("ledger")["clock"])
        except TRANSIENT:
            return False
        return True

    async def run_in_transaction(
        self, work: Work[R], spared: Collection[ParkedKey] = (), patience: Patience | None = None
    ) -> R:
        """Calls `work` in a transaction, commits it, and returns the result of `work`; if the
        transaction fails and is repeated, `work` is called again.

        A parked record on which the commit fails is marked as failed, and the commit is made
        without it; if the record is one of `spared`, ParkedFailure is raised instead. If another
        session holds a lock for too long, the error is raised at once if `patience` is given;
        otherwise the commit is repeated.
        """
        # A commit may have to be made without several records. Each round sets apart those that
        # made the last try fail, in a commit of their own, and tries the whole work again.
        sets_apart, repeats, passed = False, 0, 0
        while True:
            try:
                result = await self._tried(work, patience)
            except ParkedFailure as problem:
                failure = problem
            except BAD_CONTENT as problem:
                traced = await self._traced(work, problem, patience)
                if traced is None:  # the same commit would be accepted by now
                    passed += 1
                    if passed == self._tries_max:
                        raise
                    continue
                failure = traced
            else:
                self._internal_errors.commit_ended(sets_apart=sets_apart, frees=bool(self._freed))
                return result
            if any(key in spared for key in failure.keys):
                raise failure
            # A record that another session has marked meanwhile is not read any more, so the next
            # try should get further. If none does, the records are not the cause.
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
                self.tally_sink.retrying(type(error).__name__)

    async def _in_transaction(self, work: Work[R], patience: Patience | None) -> R:
        self._freed, self.tally = {}, Tally()
        tally = self.tally
        async with self.writer.transaction() as connection:
            if patience is not None:
                await patience.apply_to(connection)
            result = await work(connection)
            await self.tally_sink.keep(connection, tally)
            crash_point("before_commit")
        self.tally_sink.committed(tally)
        crash_point("after_commit")
        return result

    async def _traced(
        self, work: Work[R], error: Exception, patience: Patience | None
    ) -> ParkedFailure | None:
        """Finds the parked record for which the database rejects the commit.

        Returns None if the database accepts the commit by now. Raises `error` if it rejects the
        commit even without all parked records that the commit sets free. Otherwise a binary search
        over these records, oldest first, finds the first one with which the commit is rejected. A
        trial marks the records behind it as failed and is rolled back.
        """
        freed = tuple(self._freed)
        if not freed or await self._is_rejected(work, freed, patience):
            raise error
        accepted, rejected = 0, len(freed)  # how many of the oldest records are admitted
        while rejected - accepted > 1:
            middle = (accepted + rejected) // 2
            if await self._is_rejected(work, freed[middle:], patience):
                rejected = middle
            else:
                accepted = middle
        if rejected == len(freed) and not await self._is_rejected(work, (), patience):
            return None
        failure = ParkedFailure((freed[accepted],))
        failure.__cause__ = error
        return failure

    async def _is_rejected(
        self, work: Work[R], left_out: Sequence[ParkedKey], patience: Patience | None
    ) -> bool:
        async def trial(connection: Connection) -> None:
            await put_parked_failures(connection, left_out, TRIAL)
            await work(connection)
            raise _TrialPassed

        try:
            await self._tried(trial, patience)
        except BAD_CONTENT:
            return True
        except Exception as problem:
            # Whatever else the program raises is not the failure that is searched for.
            if not is_of_the_program(problem):
                raise
        return False

    async def _set_apart(self, failure: ParkedFailure, *, is_first: bool) -> bool:
        """Marks the records as failed; False if another session has seen to all of them."""
        cause = failure.__cause__ or failure
        if is_first:
            self._internal_errors.require_room(name_of(cause))
        marked = await self._in_transaction(
            lambda connection: put_parked_failures(connection, failure.keys, name_of(cause)), None
        )
        count, name = len(failure.keys), name_of(cause)
        log.error("parked_record_failed", records=count, error=name, problem=describe(cause))
        return marked > 0
