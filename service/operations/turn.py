"""A task that one instance does for all of them, once in an interval of the database's clock."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..database.session import Connection, Pool, statements
from ..runtime.failures import TRANSIENT

SQL = statements("upkeep")

R = TypeVar("R")


class Turn:
    """A row of `upkeep_turn`: locked by who is at the task, with the time when it is due next."""

    def __init__(self, pool: Pool, task: str, interval_seconds: int) -> None:
        self._pool = pool
        self._task = task
        self._interval_seconds = interval_seconds

    async def taken(
        self, work: Callable[[Connection], Awaitable[R]], findings: Callable[[R], int]
    ) -> R | None:
        """Returns the result of `work`, which runs in a transaction that reads one snapshot, if the
        task is due and no other instance does it.

        Returns None if the task is not due, or if another instance does it. After a
        failure that may pass, the next try of any instance waits a minute, and twice as long after
        each further one. `findings`
        counts what the result has to tell; the row keeps it. Raises what `work` raises.
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
        """Returns the result of `work`, which makes commits of its own, if the task is due and no
        other instance does it; None otherwise. The row keeps the result.

        Each of these commits has to call `keep`. If `work` fails or is cancelled, the next try of
        any instance waits a minute, and twice as long after each further one without a commit.
        Raises what `work` raises.
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
        """Keeps other instances from the task for another minute, in the caller's transaction.

        Two transactions that do so wait for each other, so that their steps never overlap.
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
        """What the task found last, and when that was, in seconds since 1970; 0: never."""
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(SQL["last_turn"], self._task)
        return (0, 0) if row is None else (row["findings"], row["ended_at_seconds"])
