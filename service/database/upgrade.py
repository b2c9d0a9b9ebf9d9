"""The part of migrating that needs alembic: imported only when there is something to apply."""

import asyncio
from importlib import resources

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from service.database.pool import Connection
from service.problems import OperatorError

# alembic keeps the migration that runs in globals of the process.
_ONE_AT_A_TIME = asyncio.Lock()


class MigrationFailed(OperatorError):
    """The session was lost in a migration; nothing of that migration stays."""


async def upgrade(raw: Connection) -> int:
    """Applies what is missing over this connection; the number applied. Raises MigrationFailed."""
    applied: list[str] = []
    config = _config()
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
        raise MigrationFailed("the database session ended during a migration") from problem
    return len(applied)


def _config() -> Config:
    config = Config()
    folder = resources.files("service.database").joinpath("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
