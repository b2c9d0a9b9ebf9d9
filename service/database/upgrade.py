"""The part of migrating that needs alembic: imported only when there is something to apply."""

import asyncio
from collections.abc import Iterator
from importlib import resources

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ..runtime.failures import LOGIN_FAILED, TRANSIENT
from .migrations import script
from .session import Connection

# alembic keeps the migration that runs in globals of the process.
_ONE_AT_A_TIME = asyncio.Lock()


async def upgrade(raw: Connection) -> int:
    """Applies what is missing over this connection; the number applied.

    Raises what the driver raises if the session is lost, the database is in the way or refuses us
    (TRANSIENT, LOGIN_FAILED): nothing of the migration in hand stays then, but the ones before do.
    Raises BrokenMigration, or another error of SQLAlchemy, for a bug.
    """
    applied: list[str] = []
    config = _config()
    config.attributes["run_sql_file"] = script.run
    config.attributes["on_version_apply"] = lambda step, **_: applied.append(step.up_revision_id)

    def apply(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def same() -> Connection:
        return raw

    engine = create_async_engine("postgresql+asyncpg://", async_creator=same, poolclass=NullPool)
    connection: AsyncConnection
    try:
        async with _ONE_AT_A_TIME, engine.connect() as connection:
            await connection.run_sync(apply)
    except SQLAlchemyError as problem:
        for cause in _causes(problem):
            if isinstance(cause, (*TRANSIENT, *LOGIN_FAILED)):
                raise cause from problem
        if raw.is_closed():
            raise asyncpg.ConnectionDoesNotExistError(
                "the session ended during a migration"
            ) from problem
        raise
    return len(applied)


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """SQLAlchemy wraps the driver's errors, and a lost session fails again in the rollback."""
    seen: set[int] = set()
    cause: BaseException | None = problem
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _config() -> Config:
    config = Config()
    folder = resources.files(__package__).joinpath("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
