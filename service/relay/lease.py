"""One relay at a time: a lease row that ends by the database's clock, with a fence number."""

import time

from ..database.session import Connection, Pool, statements

NAME = "relay"
SQL = statements("outbox")


class LeaseLost(Exception):
    """Another relay may be sending: nothing more is sent or deleted under this fence number."""


class Lease:
    """Held, or not: `fence` is None then. Not for use by two tasks at once."""

    def __init__(self, pool: Pool, holder: str, seconds: int) -> None:
        self._pool = pool
        self._holder = holder
        self._seconds = seconds
        self._renewed_ns = 0
        self.fence: int | None = None

    @property
    def has_ended(self) -> bool:
        """By our own monotonic clock, from before the renewal was asked for: never too late."""
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000

    @property
    def is_due(self) -> bool:
        """A third of its time has gone."""
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000 // 3

    async def take(self) -> bool:
        """True if it is ours now, under a new fence number."""
        asked_ns = time.monotonic_ns()
        async with self._pool.acquire() as connection:
            self.fence = await connection.fetchval(
                SQL["take_lease"], NAME, self._holder, self._seconds
            )
        self._renewed_ns = asked_ns
        return self.fence is not None

    async def renew(self) -> None:
        """Raises LeaseLost, and whatever the database raises."""
        async with self._pool.acquire() as connection:
            await self.renew_on(connection)

    async def renew_on(self, connection: Connection) -> None:
        """The same inside the caller's transaction, which it thereby guards."""
        asked_ns = time.monotonic_ns()
        if await connection.fetchval(SQL["renew_lease"], NAME, self.fence, self._seconds) is None:
            self.fence = None
            raise LeaseLost
        self._renewed_ns = asked_ns

    async def release(self) -> None:
        """The next relay need not wait for its end."""
        if self.fence is None:
            return
        fence, self.fence = self.fence, None
        async with self._pool.acquire() as connection:
            await connection.execute(SQL["release_lease"], NAME, fence)
