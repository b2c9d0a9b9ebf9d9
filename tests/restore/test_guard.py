"""The guard of one process: what it compares, what it keeps, and over which connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database.session import Pool, create_pool
from service.restore.findings import read_verdict
from service.restore.guard import Guard, IdleCommits
from service.runtime.problems import OlderDatabase
from service.settings.access import DatabaseLimits, KafkaAccess
from service.wiring import WRITERS
from tests.support.guards import new_guard, opened_guard


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with await create_pool(database_url) as pool:
        yield pool


@pytest.fixture
def access(bootstrap_servers: str) -> KafkaAccess:
    return KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)


async def commit(guard: Guard, writer: str = "intake") -> None:
    async with guard.writer(writer).transaction() as connection:
        await connection.execute("SELECT 1")


async def load_earlier_rows(pool: Pool, rows: list[asyncpg.Record]) -> None:
    """As `pg_restore --data-only`: the same server, the same database, the same tables."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM process_commit")
        await connection.copy_records_to_table("process_commit", records=[tuple(r) for r in rows])


async def rows_of(pool: Pool) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM process_commit")


async def test_earlier_rows_in_the_same_tables_are_another_database(
    pool: Pool, access: KafkaAccess
) -> None:
    guard = await opened_guard(pool, access)
    earlier = await rows_of(pool)
    await commit(guard)
    await load_earlier_rows(pool, earlier)
    with pytest.raises(OlderDatabase, match="remembers 1 commits of its intake"):
        await commit(guard, "export")


async def test_a_process_that_wrote_nothing_notices_earlier_rows_by_its_own_watch(
    pool: Pool, access: KafkaAccess
) -> None:
    """Another process may have written, and be gone."""
    guard = await opened_guard(pool, access)
    watch = IdleCommits(guard.writer("watch"))
    await watch.run_once()
    earlier = await rows_of(pool)
    await watch.run_once()
    await load_earlier_rows(pool, earlier)
    with pytest.raises(OlderDatabase, match="of its watch"):
        await commit(guard)
    with pytest.raises(OlderDatabase, match="of its watch"):
        await new_guard(pool, access).open(WRITERS)


async def test_the_verdict_is_kept_over_the_connection_that_was_examined(
    pool: Pool, database_url: str, access: KafkaAccess
) -> None:
    """All others are in use: another one might lead to another database, or not come at all."""
    limits = DatabaseLimits.model_construct(
        database_connections_max=1, database_statement_ms_max=5_000
    )
    async with await create_pool(database_url, limits) as narrow:
        guard = await opened_guard(narrow, access)
        await commit(guard)
        await pool.execute("UPDATE process_commit SET commits = 0")
        async with asyncio.timeout(10):
            with pytest.raises(OlderDatabase):
                await commit(guard)
    async with pool.acquire() as connection:
        verdict = await read_verdict(connection)
    assert verdict is not None
    assert verdict.finding == "commits_lost"


async def test_a_database_without_our_tables_is_another_one_and_closing_says_nothing_else(
    pool: Pool, access: KafkaAccess
) -> None:
    guard = await opened_guard(pool, access)
    await commit(guard)
    await pool.execute("DROP TABLE process_commit, restore_verdict")
    with pytest.raises(OlderDatabase, match="this database has none"):
        await commit(guard)
    with pytest.raises(OlderDatabase):
        await guard.ask()
    await guard.close()


async def test_rows_of_processes_that_are_alive_are_never_forgotten(
    pool: Pool, access: KafkaAccess
) -> None:
    guard = await opened_guard(pool, access)
    await pool.execute("UPDATE process_commit SET touched_at = touched_at - interval '91 days'")
    await IdleCommits(guard.writer("watch")).run_once()
    await commit(guard)
    other = await opened_guard(pool, access)
    await commit(guard, "watch")
    await commit(other)


async def test_those_who_wait_for_the_check_share_its_answer(
    pool: Pool, access: KafkaAccess
) -> None:
    guard = await opened_guard(pool, access)
    answers = await asyncio.gather(*(guard.ask() for _ in range(5)))
    assert all(answer is answers[0] for answer in answers)
    assert await guard.ask() is not answers[0]
