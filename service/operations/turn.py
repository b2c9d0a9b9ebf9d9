"""A task that one instance of the service does for all instances, once in an interval by the
database's clock.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..database.session import Connection, Pool, statements
from ..runtime.failures import TRANSIENT

SQL = statements("upkeep")

R = TypeVar("R")


class Turn:
    """A task's row in the table `upkeep_turn`: it says when the task is due next, and keeps two
    instances from doing the task at the same time.
    """

    def __init__(self, pool: Pool, task: str, interval_seconds: int) -> None:
        self._pool = pool
        self._task = task
        self._interval_seconds = interval_seconds

    async def taken(
        self, work: Callable[[Connection], Awaitable[R]], findings: Callable[[R], int]
    ) -> R | None:
        """If the task is due and no other instance does it, runs `work` in a transaction that reads
        one snapshot, and returns its result.

        Returns None if the task is not due, or if another instance does it. After a failure that
        may end by itself, such as a lost connection, no instance tries the task for a minute; this
        pause doubles with each further failure. `findings` is called with the result and returns a
        number of findings, which the row of the task keeps. Raises what `work` raises.
        """
        async with self._pool.acquire() as connection:
            if await connection.fetchval(SQL["take_turn"], *self._key) is None:
                return None
            try:
                return await self._in_turn(connection, work, findings)
            except TRANSIENT:
                async with self._pool.acquire() as other:
                    await other.execute(SQL["put_off_turn"], *self._key)
                raise

    async def taken_in_steps(self, work: Callable[[], Awaitable[int]]) -> int | None:
        """If the task is due and no other instance does it, runs `work`, which makes commits of its
        own, and returns its result; otherwise returns None. The row of the task keeps the result.

        `work` has to call `keep` in each of its transactions. If `work` fails or is cancelled, no
        instance tries the task for a minute; this pause doubles with each further failure in which
        nothing was committed. Raises what `work` raises.
        """
        async with self._pool.acquire() as connection:
            if await connection.fetchval(SQL["take_turn"], *self._key) is None:
                return None
        done = await work()
        async with self._pool.acquire() as connection:
            await connection.execute(SQL["end_turn"], *self._key, done)
        return done

    @staticmethod
    async def keep(connection: Connection, task: str) -> None:
        """Reserves the task for this instance for another minute, as part of the caller's
        transaction.

        Two transactions that reserve the same task wait for each other, so that the steps of two
        instances never overlap.
        """
        await connection.execute(SQL["keep_turn"], task)

    async def _in_turn(
        self,
        connection: Connection,
        work: Callable[[Connection], Awaitable[R]],
        findings: Callable[[R], int],
    ) -> R | None:
        async with connection.transaction(isolation="repeatable_read"):
            if await connection.fetchval(SQL["hold_turn"], self._task) is None:
                return None
            done = await work(connection)
            await connection.execute(SQL["end_turn"], *self._key, findings(done))
            return done

    @property
    def _key(self) -> tuple[str, int]:
        return self._task, self._interval_seconds

    async def last(self) -> tuple[int, int]:
        """Returns the number that the row of the task keeps of its last result, and when the task
        ended, in seconds since 1970; both are 0 if it has never ended.
        """
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(SQL["last_turn"], self._task)
        return (0, 0) if row is None else (row["findings"], row["ended_at_seconds"])
