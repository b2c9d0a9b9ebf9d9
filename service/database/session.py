"""Sessions of PostgreSQL, the named statements that run in them, and long work beside them.

Every session has time limits, the time zone UTC and a name that operators see. Every statement
stands in a file `sql/*.sql` under a name; the program builds no SQL from strings.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import asyncpg

from ..settings.access import IDLE_IN_TRANSACTION_MS_MIN, DatabaseLimits

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

R = TypeVar("R")
Connect: TypeAlias = "Callable[..., Coroutine[object, object, asyncpg.Connection[asyncpg.Record]]]"

# Starting a thread costs a tenth of a millisecond. The work on so few records takes less time than
# the event loop can spare.
INLINE_RECORDS_MAX: Final = 100
# Half of the shortest limit that can be set for a session that is idle in its transaction.
SIGN_OF_LIFE_MS: Final = IDLE_IN_TRANSACTION_MS_MIN // 2
APPLICATION_NAME: Final = "bursar-bridge"

_STATEMENT_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)$", re.MULTILINE)


class Writes(Protocol):
    """What a part of the service needs to write to the database."""

    @property
    def pool(self) -> Pool:
        """The pool whose connections are used for reading."""

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Begins a transaction of this writer, which has only one at a time.

        The transaction first checks that the database is the one that the process has worked with
        (architecture.md, "No commit on top of an older ledger").
        """


class ReadOnly:
    """A `Writes` for commands that only read: the server refuses to write in its transactions."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Begins a transaction that reads only."""
        async with self.pool.acquire() as connection, connection.transaction(readonly=True):
            yield connection


# PostgreSQL sends a timestamptz as microseconds since this instant.
_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def create_pool(
    database_url: str, limits: DatabaseLimits | None = None, connect: Connect = asyncpg.connect
) -> Pool:
    """Returns an open pool whose sessions have the given limits; `jsonb` is read as `str`.

    `connect` opens a session and takes the arguments of asyncpg's own function.

    Raises OSError or TimeoutError if the server does not answer, and asyncpg.PostgresError if it
    refuses the connection.
    """
    bounds = limits or DatabaseLimits()
    settings = server_settings(bounds)
    pool = await _new_pool(database_url, bounds, settings, connect)
    if await pool.fetchval("SELECT current_setting('synchronous_commit')") != "off":
        return pool
    # Without synchronous commit a crash of the server can undo a commit whose offsets Kafka already
    # has. Any other value of the server, such as waiting for a standby, stays as it is.
    await pool.close()
    settings["synchronous_commit"] = "on"
    return await _new_pool(database_url, bounds, settings, connect)


async def _new_pool(
    database_url: str, bounds: DatabaseLimits, settings: dict[str, str], connect: Connect
) -> Pool:
    return await asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=bounds.database_connections_max,
        timeout=bounds.database_connect_seconds_max,
        # The time limits of the server end first; this one is for a server that does not answer.
        command_timeout=bounds.database_reply_seconds_max,
        server_settings=settings,
        connect=connect,
        init=_convert_instants,
    )


async def _convert_instants(connection: Connection) -> None:
    """Stores the first and the last instant of `datetime` like any other instant.

    The client would store them as -infinity and infinity and read them back without a time zone.
    """
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda instant: ((instant - _ZERO) // _MICROSECOND,),
        decoder=lambda microseconds: _ZERO + timedelta(microseconds=microseconds[0]),
    )


def server_settings(limits: DatabaseLimits) -> dict[str, str]:
    """Returns the settings that each session sets on the server, by name."""
    return {
        "application_name": APPLICATION_NAME,
        "timezone": "UTC",
        # The write path needs these two, whatever the defaults of the server are.
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "jit": "off",  # compiling a statement takes longer than running it
        "statement_timeout": str(limits.database_statement_ms_max),
        "lock_timeout": str(limits.database_lock_wait_ms_max),
        "idle_in_transaction_session_timeout": str(limits.database_idle_in_transaction_ms_max),
        # Ends the session of a machine that is gone, which would hold its locks for two hours.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


@cache
def statements(file: str) -> Mapping[str, str]:
    """Returns the statements of `sql/<file>.sql` by name.

    Raises ValueError if the file gives a name twice.
    """
    text = resources.files(__package__).joinpath("sql", f"{file}.sql").read_text("utf-8")
    by_name: dict[str, str] = {}
    starts = list(_STATEMENT_NAME.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=True):
        if start["name"] in by_name:
            raise ValueError(f"{file}.sql names {start['name']} twice")
        by_name[start["name"]] = text[start.end() : end].strip().rstrip(";")
    return MappingProxyType(by_name)


async def run_in_thread(connection: Connection, records: int, work: Callable[[], R]) -> R:
    """Returns the result of `work`, a pure function whose time grows with `records`.

    For more than a few records `work` runs in a thread, so that the event loop continues to send
    heartbeats to Kafka, and the session of `connection` is kept alive meanwhile.
    """
    if records <= INLINE_RECORDS_MAX:
        return work()
    return await keep_session_alive(connection, asyncio.to_thread(work))


async def keep_session_alive(connection: Connection, work: Awaitable[R]) -> R:
    """Returns the result of `work`; the session runs a small statement now and then until then.

    The server ends a session that is idle in its transaction, so that a process that was stopped
    loses its locks. A process that computes must not look like one.
    """
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait((task,), timeout=SIGN_OF_LIFE_MS / 1_000))[0]:
        await connection.fetchval(statements("ledger")["clock"])
    return await task
