"""The way of one fine through the running service, and of one batch through an export, as traces.

The programs of a source tree are run under `traced.py`, with a database and topics of their own, so
that this release and an older one are measured in the same way.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka.admin import AdminClient

from tests.support import inputs
from tests.support.process import connected
from tests.support.services import Services
from tests.support.topics import produce

ROOT = Path(__file__).resolve().parents[2]
TRACED = Path(__file__).with_name("traced.py")
SECONDS_MAX = 120
PAUSE_SECONDS = 0.1
MARK = "way-of-a-fine"
PROFILES = """
[[institution]]
id = "6050"
zone = "Europe/Vienna"

[[profile]]
code = "WAY"
name = "Way"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE"]
match = "02"
minimum_amount = "0.01"
minimum_amount_scope = "patron"
"""
_STATEMENT = "SQL "
_READS_FINES = re.compile(rf"^{_STATEMENT}.*(?<!SELECT )\b(?:FROM|JOIN)\s+fine\b", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Way:
    """What a fine passes on its way from its record to its event, and how often it is read.

    `functions` are those that get the fine as an argument, in any form, and `modules` are theirs.
    The statements are those that return the fine from its table while a record about it is applied,
    and while it is exported.
    """

    modules: frozenset[str]
    functions: frozenset[str]
    reads_of_poll: tuple[str, ...]
    reads_of_batch: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A source tree with a database, topics and a folder that it uses alone."""

    root: Path
    folder: Path
    environment: Mapping[str, str]
    prefix: str

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    def command(self, *arguments: str, trace: Path | None = None) -> None:
        """Runs a command to its end, under the tracer if it is given a file."""
        subprocess.run(
            self._program(arguments, trace),
            cwd=self.root,
            env=self.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self, trace: Path) -> subprocess.Popen[bytes]:
        """Starts the service under the tracer, with its log in the folder."""
        with (self.folder / "service.log").open("wb") as log:
            return subprocess.Popen(
                self._program(["run"], trace),
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def _program(
        self, arguments: Iterator[str] | list[str] | tuple[str, ...], trace: Path | None
    ) -> list[str]:
        program = ["-m", "service"] if trace is None else [str(TRACED), str(trace), MARK]
        return [sys.executable, *program, *arguments]


async def measure_way(services: Services, root: Path, folder: Path) -> Way:
    """The way of a fine through the source tree `root`: created, changed in the library, exported.

    `folder` has the log of the service and the traces afterwards.
    """
    async with _site(services, root, folder) as site:
        created, changed = await _trace_records(site)
        exported = folder / "export.trace"
        site.command("export", "run", "--profile", "WAY", trace=exported)
    functions = frozenset(_from_the_poll(created))
    return Way(
        modules=frozenset(name.partition(":")[0] for name in functions),
        functions=functions,
        reads_of_poll=_reads(changed),
        reads_of_batch=_reads(_trace(exported, 0)),
    )


async def _trace_records(site: Site) -> list[list[str]]:
    """What is traced while a fine is created, and while it is changed."""
    trace = site.folder / "run.trace"
    process = site.start(trace)
    traces = []
    try:
        for number, (contract, data) in enumerate(_records(), 1):
            begin = time.time_ns()
            value, headers = inputs.binary(contract, data)
            servers = site.environment["KAFKA_BOOTSTRAP_SERVERS"]
            produce(servers, site.prefix + contract, [(b"6050", value)], headers=headers)
            await _until_published(site, process, number)
            traces.append(_trace(trace, begin))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS_MAX)
    return traces


def _from_the_poll(trace: list[str]) -> Iterator[str]:
    """The functions from the consumer's on; before it the client has read the record's bytes."""
    begin = next(n for n, text in enumerate(trace) if text.startswith("consumer/"))
    yield from (text for text in trace[begin:] if not text.startswith(_STATEMENT))


def _records() -> Iterator[tuple[str, inputs.Data]]:
    patron = {
        "patron_id": f"P-{MARK}",
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": "A1234567"}],
    }
    yield "fine-created.v1", inputs.fine_created(fine_id=f"F-{MARK}", patron=patron)
    yield "fine-changed.v1", inputs.fine_changed(fine_id=f"F-{MARK}")


async def _until_published(site: Site, process: subprocess.Popen[bytes], records: int) -> None:
    """Waits until so many records are applied, and nothing waits in the outbox."""
    query = """
        SELECT (SELECT count(*) FROM ledger_transaction) = $1 AND NOT EXISTS (SELECT FROM outbox)
    """
    async with asyncio.timeout(SECONDS_MAX), connected(site.database_url) as connection:
        while not await connection.fetchval(query, records):
            assert process.poll() is None, (site.folder / "service.log").read_text()
            await asyncio.sleep(PAUSE_SECONDS)


def _reads(trace: list[str]) -> tuple[str, ...]:
    return tuple(text.removeprefix(_STATEMENT) for text in trace if _READS_FINES.search(text))


def _trace(file: Path, begin_ns: int) -> list[str]:
    """The functions and statements in a trace, from an instant on."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [text for at_ns, text in lines if at_ns >= begin_ns]


@asynccontextmanager
async def _site(services: Services, root: Path, folder: Path) -> AsyncIterator[Site]:
    """A migrated database and topics for the source tree, removed afterwards."""
    name = f"bursar_way_{uuid.uuid4().hex[:12]}"
    (folder / "profiles.toml").write_text(PROFILES, "utf-8")
    site = Site(root, folder, _environment(services, name, folder), f"{name}.")
    async with connected(services.database_url) as connection:
        await connection.execute(f'CREATE DATABASE "{name}"')
        try:
            site.command("migrate")
            site.command("topics", "create", "--partitions", "1", "--replication", "1")
            yield site
        finally:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            _delete_topics(services.kafka_bootstrap_servers, site.prefix)


def _environment(services: Services, name: str, folder: Path) -> dict[str, str]:
    others = {
        key: text for key, text in os.environ.items() if not key.startswith(("BURSAR_", "COV"))
    }
    return others | {
        "DATABASE_URL": urlunsplit(urlsplit(services.database_url)._replace(path=f"/{name}")),
        "KAFKA_BOOTSTRAP_SERVERS": services.kafka_bootstrap_servers,
        "BURSAR_TOPIC_PREFIX": f"{name}.",
        "BURSAR_CONSUMER_GROUP": name,
        "BURSAR_PROFILES_FILE": str(folder / "profiles.toml"),
        "BURSAR_OPS_PORT": "0",
    }


def _delete_topics(servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    topics = [
        name for name in admin.list_topics(timeout=SECONDS_MAX).topics if name.startswith(prefix)
    ]
    for future in admin.delete_topics(topics, operation_timeout=SECONDS_MAX).values():
        future.result(SECONDS_MAX)
