"""A batch that takes long to prove: its session stays, and so do its locks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from service.database import session
from service.database.session import create_pool, keep_session_alive
from service.settings.access import IDLE_IN_TRANSACTION_MS_MIN, DatabaseLimits

IDLE_MS_MAX = IDLE_IN_TRANSACTION_MS_MIN  # the shortest limit that can be set
LONG = "SELECT pg_sleep(2)::text"


async def test_a_session_outlives_work_that_takes_longer_than_it_may_be_idle(
    database_url: str,
) -> None:
    limits = DatabaseLimits(database_idle_in_transaction_ms_max=IDLE_MS_MAX)
    async with await create_pool(database_url, limits) as pool, pool.acquire() as connection:
        other = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                before = await connection.fetchval("SELECT pg_current_xact_id()::text")
                assert await keep_session_alive(connection, other.fetchval(LONG)) == ""
                assert await connection.fetchval("SELECT pg_current_xact_id()::text") == before
        finally:
            await other.close()


async def test_without_a_sign_of_life_the_session_ends(database_url: str) -> None:
    """What gives the accounts of a stopped process back."""
    limits = DatabaseLimits(database_idle_in_transaction_ms_max=IDLE_MS_MAX)
    async with await create_pool(database_url, limits) as pool, pool.acquire() as connection:
        other = await asyncpg.connect(database_url)
        try:
            transaction = connection.transaction()
            await transaction.start()
            await other.fetchval(LONG)
            with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresError)):
                await connection.fetchval("SELECT 1")
        finally:
            await other.close()


async def _never() -> AsyncGenerator[int, None]:
    await asyncio.Event().wait()
    yield 0


async def test_when_the_session_is_lost_that_is_what_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that a reading goes on, which then could not be closed."""
    monkeypatch.setattr(session, "SIGN_OF_LIFE_MS", 1)
    connection = await asyncpg.connect(database_url)
    await connection.close()
    with pytest.raises(asyncpg.InterfaceError):
        async with contextlib.aclosing(_never()) as pages:
            await keep_session_alive(connection, anext(pages))
