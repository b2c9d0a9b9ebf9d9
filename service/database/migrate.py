"""Migrations: forward only, one transaction each, one instance at a time (alembic, our own SQL)."""

import re
from importlib import resources

import asyncpg

from ..runtime.problems import OperatorError
from .session import Connection

# Any number of ours: whoever holds it migrates, the others wait and then find nothing to do.
ADVISORY_LOCK = 0x62757273_61726272  # "bursarbr"
CONNECT_SECONDS_MAX = 10
_REVISION = re.compile(r"v([0-9]{4})_[a-z0-9_]+\.py")


class MigrationBusy(OperatorError):
    """Another instance has held the migration lock for too long."""


async def migrate(database_url: str, wait_seconds_max: int = 120) -> int:
    """Applies what is missing; the number applied.

    Safe from several instances at once. A database that a newer version migrated is left alone.
    Raises MigrationBusy, migrations.script.BrokenMigration, asyncpg.PostgresError, OSError; a
    session that is lost in a migration raises as any absence of the database, to be tried again.
    """
    raw = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        await _lock(raw, wait_seconds_max)
        if not await pending_on(raw):
            return 0
        from .upgrade import upgrade  # a second of imports, rarely needed

        return await upgrade(raw)
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
    folder = resources.files(__package__).joinpath("migrations", "versions")
    names = (_REVISION.fullmatch(file.name) for file in folder.iterdir())
    return tuple(sorted(name[1] for name in names if name is not None))


async def _lock(raw: Connection, wait_seconds_max: int) -> None:
    await raw.execute(f"SET lock_timeout = '{wait_seconds_max}s'")
    try:
        await raw.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
    except asyncpg.LockNotAvailableError:
        raise MigrationBusy(
            f"another instance has been migrating this database for {wait_seconds_max} s"
        ) from None
