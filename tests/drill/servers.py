"""PostgreSQL and Kafka of the drill's own, and a backup of the database that takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import connected
from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka, start_kafka
from tests.support.services.postgres import (
    WITHOUT_FSYNC,
    LocalPostgres,
    start_postgres,
)

DATABASE = "bursar_drill"
BACKUP_SECONDS_MAX = 300


class DrillFailed(Exception):
    """The drill cannot go on, or the books are not what they must be; the text says why."""


@dataclass(slots=True)
class Servers:
    """The running servers of a drill."""

    postgres: LocalPostgres
    kafka: LocalKafka

    @property
    def database_url(self) -> str:
        return self.postgres.url(DATABASE)

    async def take_backup(self) -> Path:
        """A base backup with the WAL that it needs, taken while the service works.

        Returns its folder, which goes away with the server.
        """
        backup = self.postgres.folder / "backup"
        command = [str(self.postgres.binaries / "pg_basebackup"), "--dbname", self.postgres.url()]
        command += ["--pgdata", str(backup), "--checkpoint", "fast", "--no-sync"]
        await asyncio.to_thread(self._run, command)
        return backup

    async def put_back(self, backup: Path) -> None:
        """The disaster: the server comes back with the data of the backup."""
        await asyncio.to_thread(self._put_back, backup)

    def _put_back(self, backup: Path) -> None:
        self.postgres.stop()
        shutil.rmtree(self.postgres.data)
        backup.rename(self.postgres.data)
        self.postgres.start()

    def _run(self, command: list[str]) -> None:
        done = self.postgres.run(command, BACKUP_SECONDS_MAX)
        if done.returncode != 0:
            raise DrillFailed(f"{Path(command[0]).name} failed:\n{done.stdout}")


@contextlib.asynccontextmanager
async def running_servers(tell: Callable[[str], None]) -> AsyncIterator[Servers]:
    """Servers that only the drill uses, with an empty database; they end with the block.

    Raises ServicesUnavailable.
    """
    files = await asyncio.to_thread(tools, tell)
    with contextlib.ExitStack() as stack:
        postgres = await asyncio.to_thread(start_postgres, files.packages, WITHOUT_FSYNC)
        stack.callback(postgres.close)
        kafka = await asyncio.to_thread(start_kafka, files)
        stack.callback(kafka.close)
        async with connected(postgres.url()) as connection:
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        yield Servers(postgres, kafka)


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for the service's log and the profiles, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="bursar-drill-") as name:
        yield Path(name)
