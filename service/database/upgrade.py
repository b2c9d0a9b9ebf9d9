"""Runs the migrations with alembic. Imported only if a database lacks one: alembic loads slowly."""

import asyncio
from importlib import resources

import asyncpg
from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ..runtime.failures import LOGIN_FAILED, TRANSIENT
from ..runtime.problems import Bug, causes_of
from .session import Connection

LOCK_WAIT_SECONDS_MAX = 30

# alembic keeps the migration that runs in globals of the process.
_ONE_AT_A_TIME = asyncio.Lock()


class BrokenMigration(Bug):
    """PostgreSQL rejects a statement of a migration: it is wrong, or it does not fit the data."""

    def __init__(self, file: str, sql: str, problem: asyncpg.PostgresError) -> None:
        position = getattr(problem, "position", None)  # in characters from 1, of syntax errors
        line = f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""
        constraint = getattr(problem, "constraint_name", None)
        broken = f", constraint {constraint}" if constraint else ""
        super().__init__(f"{file}{line}: {type(problem).__name__} {problem.sqlstate}{broken}")


async def upgrade(raw: Connection) -> None:
    """Applies the revisions that the database lacks, over this connection.

    The connection is shared with alembic as its cookbook describes for asyncio. Raises what the
    driver raises if the session is lost, the database is in the way or does not admit the role
    (TRANSIENT, LOGIN_FAILED): the migrations that were complete stay, the open one is rolled back.
    Raises BrokenMigration, or another error of SQLAlchemy, for a bug.
    """
    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["run_sql_file"] = run_sql_file

    def run_upgrade(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def shared() -> Connection:
        return raw

    engine = create_async_engine("postgresql+asyncpg://", async_creator=shared, poolclass=NullPool)
    connection: AsyncConnection
    try:
        async with _ONE_AT_A_TIME, engine.connect() as connection:
            await connection.run_sync(run_upgrade)
    except SQLAlchemyError as problem:
        # SQLAlchemy wraps the errors of the driver, and a lost session fails again in the rollback.
        for cause in causes_of(problem):
            if isinstance(cause, (*TRANSIENT, *LOGIN_FAILED)):
                raise cause from problem
        if raw.is_closed():
            text = "the session ended during a migration"
            raise asyncpg.ConnectionDoesNotExistError(text) from problem
        raise


def run_sql_file(file: str) -> None:
    """Runs a file of the folder `migrations` with all its statements, for the revision that calls.

    Waits for each lock for a bounded time only, because the statements of running instances queue
    behind a lock that is waited for. Raises BrokenMigration, and errors of the database while it is
    not available.
    """
    sql = resources.files(__package__).joinpath("migrations", file).read_text("utf-8")
    # The first statement also opens the transaction: the driver's adapter begins it lazily.
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS_MAX}s'")
    proxied: PoolProxiedConnection = op.get_bind().connection
    adapted, raw = proxied.dbapi_connection, proxied.driver_connection
    assert adapted is not None
    assert raw is not None
    assert raw.is_in_transaction(), "a migration must be inside its transaction"
    # SQLAlchemy would prepare the text, and a prepared text has one statement only.
    try:
        adapted.run_async(lambda connection: connection.execute(sql))
    except (*TRANSIENT, *LOGIN_FAILED):
        raise
    except asyncpg.PostgresError as problem:
        raise BrokenMigration(file, sql, problem) from problem
