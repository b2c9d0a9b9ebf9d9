"""Migrates the schema of the database: only forward, each migration in its own transaction, and by
one instance at a time.
"""

import re
from importlib import resources

import asyncpg

from ..runtime.problems import OperatorError
from .session import Connection

# An arbitrary number. One instance holds the lock; the others wait and then have nothing to do.
ADVISORY_LOCK = 0x62757273_61726272  # "bursarbr"
CONNECT_SECONDS_MAX = 10
_REVISION = re.compile(r"v([0-9]{4})_[a-z0-9_]+\.py")


class MigrationBusy(OperatorError):
    """Another instance, which holds the lock for migrations, has not ended within the time that
    this one may wait.
    """


async def migrate(database_url: str, wait_seconds_max: int = 120) -> int:
    """Applies the migrations that the database lacks; returns how many were applied.

    Several instances may call this at once; one of them migrates, and the others wait. A database
    that a newer version of the program has migrated is not changed. Raises MigrationBusy,
    upgrade.BrokenMigration, asyncpg.PostgresError and OSError. If the database session is lost
    during a migration, an error of the connection is raised; the caller can call again.
    """
    raw = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        await _lock(raw, wait_seconds_max)
        missing = await pending_on(raw)
        if missing:
            from .upgrade import upgrade  # takes a second to import, and is rarely needed

            await upgrade(raw)
        return len(missing)
    finally:
        # Ends the session and frees the lock. A session that was lost holds no lock any more.
        await raw.close(timeout=CONNECT_SECONDS_MAX)


async def pending(database_url: str) -> tuple[str, ...]:
    """Returns the numbers of the migrations that this version of the program has and the database
    lacks, oldest first.
    """
    raw = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        return await pending_on(raw)
    finally:
        await raw.close(timeout=CONNECT_SECONDS_MAX)


async def pending_on(connection: Connection) -> tuple[str, ...]:
    """Returns the numbers of the migrations that the database lacks, as `pending` does, over an
    open connection.

    For a database that a newer version of the program has migrated, the result is empty.
    """
    current = None  # before the first migration
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
        current = await connection.fetchval("SELECT version_num FROM alembic_version")
    return tuple(name for name in revisions() if current is None or name > current)


def revisions() -> tuple[str, ...]:
    """Returns the numbers of this version's migrations, oldest first, each with four digits, such
    as 0021.
    """
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
