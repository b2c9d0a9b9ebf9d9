"""Connections to PostgreSQL: every session has its timeouts, UTC, and a name operators can see."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

__all__ = ["Connection", "DatabaseLimits", "Pool", "ReadOnly", "Writes", "create_pool"]


class Writes(Protocol):
    """The one way to write: `transaction` first proves that the database is the one we know."""

    @property
    def pool(self) -> Pool:
        """For reading."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction of this writer, which has one at a time."""
        ...


class ReadOnly:
    """For a command that only looks: whatever it would write, the server refuses."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def pool(self) -> Pool:
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            yield connection


_ZERO = datetime(2000, 1, 1, tzinfo=UTC)  # of timestamptz on the wire, in microseconds
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Bounds of every session.

    `idle_in_transaction_ms_max` stays below the Kafka session (10 s): a process stopped inside a
    commit must not keep its accounts longer than its partitions.
    """

    connections_min: int = 1
    connections_max: int = 8
    connect_seconds_max: int = 10
    statement_ms_max: int = 30_000
    lock_wait_ms_max: int = 5_000
    idle_in_transaction_ms_max: int = 8_000
    reply_seconds_max: int = 40
    application_name: str = "bursar-bridge"


async def create_pool(database_url: str, limits: DatabaseLimits | None = None) -> Pool:
    """An open pool; a connection is checked before the first use. jsonb is str in and out.

    Raises OSError or TimeoutError when the server does not answer, asyncpg.PostgresError when it
    refuses.
    """
    bounds = limits or DatabaseLimits()
    settings = server_settings(bounds)
    pool = await _new_pool(database_url, bounds, settings)
    if await pool.fetchval("SELECT current_setting('synchronous_commit')") != "off":
        return pool
    # A commit that a crash of the server takes back may be known to Kafka already. Whatever else
    # the server is set to, such as to wait for a standby, stays as it is.
    await pool.close()
    return await _new_pool(database_url, bounds, {**settings, "synchronous_commit": "on"})


async def _new_pool(database_url: str, bounds: DatabaseLimits, settings: dict[str, str]) -> Pool:
    return await asyncpg.create_pool(
        database_url,
        min_size=bounds.connections_min,
        max_size=bounds.connections_max,
        timeout=bounds.connect_seconds_max,
        # The server's own timeouts come first; this one is for a server that is silent.
        command_timeout=bounds.reply_seconds_max,
        server_settings=settings,
        init=_take_instants_as_they_are,
    )


async def _take_instants_as_they_are(connection: Connection) -> None:
    """The client's own way makes infinities of the first and the last instant of a datetime, and
    reads those back without a zone.
    """
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda instant: ((instant - _ZERO) // _MICROSECOND,),
        decoder=lambda microseconds: _ZERO + timedelta(microseconds=microseconds[0]),
    )


def server_settings(limits: DatabaseLimits) -> dict[str, str]:
    """What each session asks of the server."""
    return {
        "application_name": limits.application_name,
        "timezone": "UTC",
        # Whatever the server's own defaults are: these are what the write path was built for.
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "jit": "off",  # compiling costs more than our statements
        "statement_timeout": str(limits.statement_ms_max),
        "lock_timeout": str(limits.lock_wait_ms_max),
        "idle_in_transaction_session_timeout": str(limits.idle_in_transaction_ms_max),
        # A client whose machine is gone must not keep its locks for the system's two hours.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
