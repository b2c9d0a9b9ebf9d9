"""The lease, a row of the database that makes sure that only one relay sends at a time. The lease
expires by the database's clock.
"""

import time

from ..database.session import Connection, Pool, statements

LEASE_NAME = "relay"
SQL = statements("outbox")


class LeaseLost(Exception):
    """Raised if this relay has lost the lease: another relay may be sending, so this one must not
    send or delete any more.
    """


class Lease:
    """The lease that lets only one relay send at a time: a database row that expires, with a fence
    number that increases whenever a relay takes the lease.

    `fence` is the fence number under which this relay holds the lease; None while it does not hold
    it. Only one asyncio task at a time may use this object.
    """

    def __init__(self, pool: Pool, holder: str, seconds: int) -> None:
        self._pool = pool
        self._holder = holder
        self._seconds = seconds
        self._renewed_ns = 0
        self.fence: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the lease has expired, as far as the monotonic clock of this process can tell.
        The time is counted from just before the last renewal was requested; so this is True at the
        latest when the database lets another relay take the lease.
        """
        return time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000

    async def take(self) -> bool:
        """Takes the lease with a new fence number; returns False if another relay holds it."""
        asked_ns = time.monotonic_ns()
        async with self._pool.acquire() as connection:
            self.fence = await connection.fetchval(
                SQL["take_lease"], LEASE_NAME, self._holder, self._seconds
            )
        self._renewed_ns = asked_ns
        return self.fence is not None

    async def renew(self) -> None:
        """Renews the lease. Raises LeaseLost if this relay no longer holds the lease, and the
        errors of the database.
        """
        async with self._pool.acquire() as connection:
            await self.renew_on(connection)

    async def renew_if_due(self) -> None:
        """Renews the lease if a third of its duration has passed since the last renewal. Raises as
        `renew`.
        """
        if time.monotonic_ns() - self._renewed_ns > self._seconds * 1_000_000_000 // 3:
            await self.renew()

    async def renew_on(self, connection: Connection) -> None:
        """Renews the lease inside the caller's database transaction, so that the transaction can
        commit only if this relay still holds the lease.
        """
        asked_ns = time.monotonic_ns()
        arguments = (LEASE_NAME, self.fence, self._seconds)
        if await connection.fetchval(SQL["renew_lease"], *arguments) is None:
            self.fence = None
            raise LeaseLost
        self._renewed_ns = asked_ns

    async def release(self) -> None:
        """Gives the lease up, if this relay holds it, so that another relay can take it at once."""
        if self.fence is None:
            return
        fence, self.fence = self.fence, None
        async with self._pool.acquire() as connection:
            await connection.execute(SQL["release_lease"], LEASE_NAME, fence)
