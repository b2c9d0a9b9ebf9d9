"""PostgreSQL servers of a row's own, and what is done to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping

from tests.support.process import connected
from tests.support.services.cache import tools
from tests.support.services.postgres import WITHOUT_FSYNC, LocalPostgres
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.standby import Standby
from tests.support.waiting import until

DATABASE = "bursar"
FEW_EVENTS = 300  # of rows whose fault is not in the records
START_SECONDS_MAX = 60


@contextlib.asynccontextmanager
async def new_server(settings: Mapping[str, str] | None = None) -> AsyncIterator[LocalPostgres]:
    """A server with an empty database; it ends with the block."""
    packages = tools(lambda _: None).packages
    server = LocalPostgres(packages, {**WITHOUT_FSYNC, **(settings or {})})
    try:
        await asyncio.to_thread(server.start)
        async with connected(server.url()) as connection:
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        yield server
    finally:
        await asyncio.to_thread(server.close)


@contextlib.asynccontextmanager
async def standby_of(primary: LocalPostgres, *, synchronous: bool) -> AsyncIterator[Standby]:
    """A server that follows the primary; with `synchronous`, commits wait for it."""
    standby = Standby(tools(lambda _: None).packages, primary)
    try:
        await asyncio.to_thread(standby.start)
        async with connected(primary.url()) as connection:
            if synchronous:
                await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                await connection.execute("SELECT pg_reload_conf()")
            state = "sync" if synchronous else "async"
            query = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = $1)"
            await until(lambda: connection.fetchval(query, state))
        yield standby
    finally:
        await asyncio.to_thread(standby.close)


def either(first: LocalPostgres, second: LocalPostgres) -> str:
    """A URL that leads to whichever of two servers takes writes."""
    url, at = first.url(DATABASE), f"127.0.0.1:{first.port}"
    both = url.replace(at, f"{at},127.0.0.1:{second.port}")
    return f"{both}?target_session_attrs=primary"


async def start_again(server: LocalPostgres) -> None:
    """Starts a server that was killed, once what is left of its processes has ended."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            await asyncio.to_thread(server.start)
        except ServicesUnavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return


async def end_at_once(server: LocalPostgres) -> None:
    """The immediate stop: no checkpoint, and the next start has to recover."""
    pid = server.process.pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    await until(lambda: server.process.pid() is None)


async def promote(standby: Standby) -> None:
    """Lets the standby take writes, and waits until it does."""
    async with connected(standby.url()) as connection:
        assert await connection.fetchval("SELECT pg_promote()")


async def takes_writes(server: LocalPostgres) -> bool:
    """Whether the server is no standby, or not any more."""
    async with connected(server.url()) as connection:
        return not await connection.fetchval("SELECT pg_is_in_recovery()")


async def stop_following(standby: Standby, primary: LocalPostgres) -> None:
    """What the primary commits from now on, the standby does not have."""
    async with connected(standby.url()) as connection:
        await connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await connection.execute("SELECT pg_reload_conf()")
    async with connected(primary.url()) as connection:
        query = "SELECT NOT EXISTS (SELECT FROM pg_stat_replication)"
        await until(lambda: connection.fetchval(query))
