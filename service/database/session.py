"""Opens sessions of PostgreSQL, loads the named SQL statements, and keeps a session alive while the
program computes.

Every session has time limits, the time zone UTC, and an application name by which operators
recognise it in PostgreSQL. Every SQL statement stands in a file `sql/*.sql` under a name; the
program never builds SQL from strings.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
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

# The client asks of each element of an array whether it is an array as well, by an abstract class
# of Python; that takes two thirds of the time of encoding it. Our arrays are lists, and a check of
# the type is enough. A private name of the client: a test holds that it is there and is used.
vars(asyncpg.protocol.protocol)["IterableABC"] = (list, tuple)

_STATEMENT_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)$", re.MULTILINE)


class Writes(Protocol):
    """The interface through which a part of the service reads and writes the database: a pool, and
    transactions.
    """

    @property
    def pool(self) -> Pool:
        """The pool whose connections the part uses to read outside its transactions."""

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Begins a transaction; a writer can have only one open transaction at a time.

        The transaction first checks that the database was not replaced by an older one while the
        process was running (architecture.md, "No commit on top of an older ledger").
        """


class ReadOnly:
    """An implementation of `Writes` for commands that only read: PostgreSQL refuses every write in
    its transactions.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Begins a read-only transaction on a connection of the pool."""
        async with self.pool.acquire() as connection, connection.transaction(readonly=True):
            yield connection


# PostgreSQL sends a timestamptz as microseconds since this instant.
_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def create_pool(
    database_url: str, limits: DatabaseLimits | None = None, connect: Connect = asyncpg.connect
) -> Pool:
    """Opens and returns a pool of connections whose sessions have the given limits; values of type
    `jsonb` are read as `str`.

    `connect` is the function that opens a connection, and takes the arguments of `asyncpg.connect`.

    Raises OSError or TimeoutError if the server does not answer, and asyncpg.PostgresError if the
    server refuses the connection.
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
        encoder=_stored_instant,
        decoder=lambda microseconds: _ZERO + timedelta(microseconds=microseconds[0]),
    )


@lru_cache(maxsize=10_000)  # a new fine has one instant in three columns, a commit one in all rows
def _stored_instant(instant: datetime) -> tuple[int]:
    """An instant as PostgreSQL stores it."""
    return ((instant - _ZERO) // _MICROSECOND,)


def server_settings(limits: DatabaseLimits) -> dict[str, str]:
    """Returns the PostgreSQL settings that every session of the service begins with, by name."""
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
    """Returns the SQL statements of the file `sql/<file>.sql`, by their names.

    Raises ValueError if the file has two statements with the same name.
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

    If there are more than a few records, `work` runs in a thread, so that the event loop can go on
    sending heartbeats to Kafka. Meanwhile a small statement from time to time keeps PostgreSQL from
    ending the session of `connection` as idle.
    """
    if records <= INLINE_RECORDS_MAX:
        return work()
    return await keep_session_alive(connection, asyncio.to_thread(work))


def in_background(records: int, work: Callable[[], R]) -> "asyncio.Future[R]":
    """Starts `work` in a thread and returns a future of its result at once, so that the caller can
    do other things meanwhile.

    If there are only a few records, `work` is done before the function returns, without a thread.
    An exception of a `work` in a thread is raised where the future is awaited.
    """
    if records > INLINE_RECORDS_MAX:
        return asyncio.ensure_future(asyncio.to_thread(work))
    result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    result.set_result(work())
    return result


async def keep_session_alive(connection: Connection, work: Awaitable[R]) -> R:
    """Returns the result of `work`; until it is there, the session of `connection` runs a small
    statement from time to time.

    PostgreSQL ends a session that does nothing within its transaction, so that a process that hangs
    loses its locks; the small statements keep it from ending the session of a process that only
    computes. If the session is lost, `work` is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((task,), timeout=SIGN_OF_LIFE_MS / 1_000))[0]:
            await connection.fetchval(statements("ledger")["clock"])
        return task.result()
    finally:
        task.cancel()
        # Whoever has begun `work` may close what it reads from only when it has ended.
        await asyncio.gather(task, return_exceptions=True)
