"""One relay at a time: a row of the database that ends by the database's clock."""

import time

from ..database.session import Connection, Pool, statements

LEASE_NAME = "relay"
SQL = statements("outbox")


class LeaseLost(Exception):
    """Another relay may be sending: nothing more is sent or deleted under this fence number."""


class Lease:
    """The lease that lets one relay send at a time: a row that expires by the database's clock and
    has a fence number.

    `fence` is None while the lease is not held. A lease must not be used by two tasks at once.
    """

    def __init__(self, pool: Pool, holder: str, seconds: int) -> None:
        self._pool = pool
        self._holder = holder
        self._seconds = seconds
        self._renewed_ns = 0
        self.fence: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the lease has expired, by the monotonic clock of this process. The time counts
        from before the last renewal was requested, so the answer is never too late.
        """
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000

    async def take(self) -> bool:
        """Takes the lease under a new fence number; False if another relay holds it."""
        asked_ns = time.monotonic_ns()
        async with self._pool.acquire() as connection:
            self.fence = await connection.fetchval(
                SQL["take_lease"], LEASE_NAME, self._holder, self._seconds
            )
        self._renewed_ns = asked_ns
        return self.fence is not None

    async def renew(self) -> None:
        """Renews the lease. Raises LeaseLost, and errors of the database."""
        async with self._pool.acquire() as connection:
            await self.renew_on(connection)

    async def renew_if_due(self) -> None:
        """Renews the lease once a third of its time has gone. Raises as `renew`."""
        if time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000 // 3:
            await self.renew()

    async def renew_on(self, connection: Connection) -> None:
        """Renews the lease inside the caller's transaction, which therefore commits only if the
        lease is held.
        """
        asked_ns = time.monotonic_ns()
        arguments = (LEASE_NAME, self.fence, self._seconds)
        if await connection.fetchval(SQL["renew_lease"], *arguments) is None:
            self.fence = None
            raise LeaseLost
        self._renewed_ns = asked_ns

    async def release(self) -> None:
        """Ends the lease, if it is held, so that the next relay need not wait."""
        if self.fence is None:
            return
        fence, self.fence = self.fence, None
        async with self._pool.acquire() as connection:
            await connection.execute(SQL["release_lease"], LEASE_NAME, fence)
