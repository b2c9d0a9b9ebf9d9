"""Migrations: once each, from any number of instances, nothing half."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from service.database import migrate as migrations
from service.database import upgrade
from service.database.migrate import migrate, pending, revisions
from service.database.session import create_pool
from service.database.upgrade import BrokenMigration
from service.runtime.failures import LOGIN_FAILED, TRANSIENT
from service.runtime.problems import describe
from service.settings.access import DatabaseLimits

SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable
  FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_an_empty_database_gets_every_revision_once(empty_database_url: str) -> None:
    assert await pending(empty_database_url) == revisions()
    assert await migrate(empty_database_url) == len(revisions())
    assert await pending(empty_database_url) == ()
    assert await migrate(empty_database_url) == 0


def test_the_revisions_seen_are_those_that_alembic_sees() -> None:
    config = Config()
    config.set_main_option("script_location", "service/database/migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert revisions() == tuple(sorted(script.revision for script in scripts))


async def test_instances_that_start_at_once_apply_each_revision_once(
    empty_database_url: str,
) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(6)))
    assert sorted(applied) == [0] * 5 + [len(revisions())]


async def test_an_instance_killed_in_the_middle_leaves_nothing_half(
    empty_database_url: str,
) -> None:
    """The last statement of the first revision waits; there its session is ended."""
    blocker = await asyncpg.connect(empty_database_url)
    try:
        async with blocker.transaction():
            # The migration creates this very name and so waits for whoever does the same.
            await blocker.execute("CREATE TABLE relay_lease (name text)")
            started = asyncio.create_task(migrate(empty_database_url))
            await end_waiting_session(empty_database_url)
            with pytest.raises(TRANSIENT):  # tried again as any absence of the database
                await started
            raise RollBack
    except RollBack:
        pass
    finally:
        await blocker.close()
    assert await fetch(empty_database_url, SCHEMA) == []
    assert await migrate(empty_database_url) == len(revisions())


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_a_session_lost_between_two_migrations_is_an_absence_of_the_database(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, is_noticed: bool
) -> None:
    """There SQLAlchemy speaks, which wraps what the driver raises or says something of its own."""
    run_file = upgrade.run_sql_file

    def run(file: str) -> None:
        run_file(file)
        with contextlib.nullcontext() if is_noticed else contextlib.suppress(DBAPIError):
            op.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(upgrade, "run_sql_file", run)
    with pytest.raises(TRANSIENT):
        await migrate(empty_database_url)
    monkeypatch.undo()
    assert await migrate(empty_database_url) == len(revisions())


async def test_a_statement_that_fails_is_a_bug_with_its_place(empty_database_url: str) -> None:
    await fetch(empty_database_url, "CREATE TABLE consumer_offset (topic text)")
    with pytest.raises(BrokenMigration, match=r"^0001_ledger\.sql: DuplicateTableError 42P07$"):
        await migrate(empty_database_url)
    assert await pending(empty_database_url) == revisions()


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT 1;\nSELEKT 2;", "0009_x.sql, line 2: PostgresSyntaxError 42601"),
        (
            "CREATE TABLE t (n integer CONSTRAINT small CHECK (n < 3));INSERT INTO t VALUES (4711)",
            "0009_x.sql: CheckViolationError 23514, constraint small",
        ),
    ],
)
async def test_the_place_is_told_and_no_value(empty_database_url: str, sql: str, text: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        with pytest.raises(asyncpg.PostgresError) as raised:
            await connection.execute(sql)
    finally:
        await connection.close()
    problem = BrokenMigration("0009_x.sql", sql, raised.value)
    assert str(problem) == text
    assert describe(problem)["text"] == text


async def test_a_role_that_may_not_migrate_is_refused(empty_database_url: str) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    await fetch(empty_database_url, f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
    parts = urlsplit(empty_database_url)
    server = parts.netloc.rpartition("@")[2]
    try:
        with pytest.raises(LOGIN_FAILED):
            await migrate(parts._replace(netloc=f"{role}:reads@{server}").geturl())
    finally:
        await fetch(empty_database_url, f"DROP ROLE {role}")


async def test_waiting_for_another_instance_is_bounded(empty_database_url: str) -> None:
    holder = await asyncpg.connect(empty_database_url)
    try:
        await holder.execute(f"SELECT pg_advisory_lock({migrations.ADVISORY_LOCK})")
        with pytest.raises(migrations.MigrationBusy, match="another instance"):
            await migrate(empty_database_url, wait_seconds_max=1)
    finally:
        await holder.close()


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    finally:
        await connection.close()
    assert await pending(database_url) == ()
    assert await migrate(database_url) == 0


async def test_sessions_of_the_pool_have_their_limits(database_url: str) -> None:
    limits = DatabaseLimits(database_statement_ms_max=1_234, database_lock_wait_ms_max=567)
    async with await create_pool(database_url, limits) as pool, pool.acquire() as connection:
        shown = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "timezone",
                "jit",
                "application_name",
            )
        }
        text = await connection.fetchval("SELECT $1::jsonb", '{"a": 1}')
    assert shown == {
        "statement_timeout": "1234ms",
        "lock_timeout": "567ms",
        "idle_in_transaction_session_timeout": "8s",
        "timezone": "UTC",
        "jit": "off",
        "application_name": "bursar-bridge",
    }
    assert text == '{"a": 1}'


class RollBack(Exception):
    """Takes back what the test's own commit did."""


async def end_waiting_session(url: str) -> None:
    """Ends the session that waits for a lock, once there is one. Looks from outside any commit:
    inside one the list of sessions stands still."""
    query = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
    async with asyncio.timeout(60):
        while not await fetch(url, query):
            pass
