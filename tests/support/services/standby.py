"""A standby of a local PostgreSQL, which can take its place."""

from __future__ import annotations

from pathlib import Path

from tests.support.services.postgres import LocalPostgres
from tests.support.services.problem import ServicesUnavailable

NAME = "standby"
BACKUP_SECONDS_MAX = 120


class Standby(LocalPostgres):
    """A server that follows `primary` by streaming, from a base backup of it.

    Its users and passwords are those of the primary.
    """

    def __init__(self, packages: Path, primary: LocalPostgres) -> None:
        super().__init__(packages)
        self._password = primary._password
        self._copy(primary)

    def _copy(self, primary: LocalPostgres) -> None:
        source = f"{primary.url()}?application_name={NAME}"
        command = [str(self.binaries / "pg_basebackup"), "--dbname", source]
        command += ["--pgdata", str(self.data), "--write-recovery-conf"]
        command += ["--checkpoint", "fast", "--no-sync"]
        done = self.run(command, BACKUP_SECONDS_MAX)
        if done.returncode != 0:
            raise ServicesUnavailable(f"pg_basebackup failed:\n{done.stdout}")
