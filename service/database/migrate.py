"""Migrations: forward only, one transaction each, one instance at a time (alembic, our own SQL)."""

from importlib import resources

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from service.database.pool import Connection

# Any number of ours: whoever holds it migrates, the others wait and then find nothing to do.
ADVISORY_LOCK = 0x62757273_61726272  # "bursarbr"
CONNECT_SECONDS_MAX = 10


class MigrationBusy(Exception):
    """Another instance has held the migration lock for too long."""


class MigrationFailed(Exception):
    """The session was lost in a migration; nothing of that migration stays."""


async def migrate(database_url: str, wait_seconds_max: int = 120) -> int:
    """Applies what is missing; the number applied.

    Safe from several instances at once. A database that a newer version migrated is left alone.
    Raises MigrationBusy, MigrationFailed, asyncpg.PostgresError, OSError.
    """
    raw = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        await _lock(raw, wait_seconds_max)
        if not await pending_on(raw):
            return 0
        return await _upgrade(raw)
    finally:
        # Ends the session, and with it the lock; a session that is gone already has none.
        await raw.close(timeout=CONNECT_SECONDS_MAX)


async def pending(database_url: str) -> tuple[str, ...]:
    """Revisions this version has and the database lacks, oldest first."""
    raw = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        return await pending_on(raw)
    finally:
        await raw.close(timeout=CONNECT_SECONDS_MAX)


async def pending_on(connection: Connection) -> tuple[str, ...]:
    """As `pending`, over a connection that is open. A newer database lacks nothing."""
    present = await current(connection)
    return tuple(name for name in revisions() if present is None or name > present)


async def current(connection: Connection) -> str | None:
    """The database's revision; None before the first migration."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


def revisions() -> tuple[str, ...]:
    """This version's revisions, oldest first: numbers of one width, so they sort."""
    scripts = ScriptDirectory.from_config(_config())
    return tuple(sorted(script.revision for script in scripts.walk_revisions()))


async def _lock(raw: Connection, wait_seconds_max: int) -> None:
    await raw.execute(f"SET lock_timeout = '{wait_seconds_max}s'")
    try:
        await raw.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
    except asyncpg.LockNotAvailableError:
        raise MigrationBusy(
            f"another instance has been migrating this database for {wait_seconds_max} s"
        ) from None


async def _upgrade(raw: Connection) -> int:
    applied: list[str] = []
    config = _config()
    config.attributes["on_version_apply"] = lambda step, **_: applied.append(step.up_revision_id)

    def upgrade(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def same() -> Connection:
        return raw

    engine = create_async_engine("postgresql+asyncpg://", async_creator=same, poolclass=NullPool)
    connection: AsyncConnection
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
    except SQLAlchemyError as problem:
        raise MigrationFailed("the database session ended during a migration") from problem
    return len(applied)


def _config() -> Config:
    config = Config()
    folder = resources.files("service.database").joinpath("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
