"""Runs the migrations with alembic. The module is imported only if the database lacks a migration,
because importing alembic takes long.
"""

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
    """PostgreSQL rejects a statement of a migration, because the statement is wrong or does not fit
    the stored data.
    """

    def __init__(self, file: str, sql: str, problem: asyncpg.PostgresError) -> None:
        position = getattr(problem, "position", None)  # in characters from 1, of syntax errors
        position_text = f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""
        constraint = getattr(problem, "constraint_name", None)
        broken = f", constraint {constraint}" if constraint else ""
        super().__init__(
            f"{file}{position_text}: {type(problem).__name__} {problem.sqlstate}{broken}"
        )


async def upgrade(raw: Connection) -> None:
    """Applies the migrations that the database lacks, over the connection `raw`.

    alembic, the migration tool, works on the connection `raw`, in the way that its cookbook
    describes for asyncio. If the session is lost, the database is busy, or it refuses the login,
    the error of the driver is raised (TRANSIENT, LOGIN_FAILED): migrations that had committed stay,
    and the one that was running is rolled back. Raises BrokenMigration, or another error of
    SQLAlchemy, if a migration itself is faulty.
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
    """Runs all statements of an SQL file in the folder `migrations`; each migration calls this with
    its own file.

    The statements wait for a lock only for a limited time, because statements of running instances
    would queue up behind a migration that waits for a lock. Raises BrokenMigration, and errors of
    the database while it is not available.
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
