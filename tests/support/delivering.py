"""`bursar-bridge deliver` as a process of its own, on a test's topics, without any database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from service.kafka.topics import LARGE_BYTES
from tests.support.process import COMMAND_SECONDS_MAX, end
from tests.support.programs import Program, start_program
from tests.support.sealed import Sealed, publish
from tests.support.waiting import until


class Ended(NamedTuple):
    """How a command ended: its code, its JSON lines, what it complained of."""

    code: int
    rows: list[dict[str, object]]
    problems: str

    @property
    def numbers(self) -> list[object]:
        return [row["batch_number"] for row in self.rows]


@dataclass
class Drop:
    """A target, and the deliveries to it."""

    servers: str
    prefix: str
    group: str
    target: str
    folder: Path
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        foreign = ("BURSAR_", "DATABASE_URL")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        return kept | {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "BURSAR_TOPIC_PREFIX": self.prefix,
            "BURSAR_OPS_PORT": "0",
            "COLUMNS": "200",
            **self.settings,
        }

    def publish(self, *batches: Sealed, only: str | None = None) -> None:
        publish(self.servers, self.prefix, *batches, only=only)

    async def once(self, *arguments: str, crash_at: str = "") -> Ended:
        """What the topics hold now."""
        process = await self._begin("--once", "--json", *arguments, crash_at=crash_at)
        try:
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                out, problems = await process.communicate()
        finally:
            await end(process)
        assert process.returncode is not None
        rows = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
        return Ended(process.returncode, rows, problems.decode())

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Program]:
        """As a service; ends by SIGTERM and must end well."""
        with (self.folder.parent / "delivery.log").open("ab") as log:
            process = await self._begin(*arguments, out=log.fileno())
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                assert await process.wait() == 0, self.log()[-3:]
        finally:
            await end(process)

    def log(self) -> list[dict[str, object]]:
        lines = (self.folder.parent / "delivery.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def until_there(self, *batches: Sealed) -> None:
        names = {batch.file_name for batch in batches}
        await until(lambda: names <= {path.name for path in self.folder.iterdir()})

    async def until_logged(self, event: str, times: int = 1) -> None:
        """In the log of the running delivery."""
        await until(lambda: self.logged(event) >= times)

    def logged(self, event: str) -> int:
        """How often its log says so."""
        return [line["event"] for line in self.log()].count(event)

    def files(self) -> dict[str, bytes]:
        """What a reader of the folder sees: neither sub-folders nor hidden files."""
        return {
            path.name: path.read_bytes()
            for path in sorted(self.folder.iterdir())
            if path.is_file() and not path.name.startswith(".")
        }

    def check_holds(self, *batches: Sealed) -> None:
        """Exactly these, to the byte, each with its manifest, and nothing half done beside them."""
        assert self.files() == {batch.file_name: batch.bytes for batch in batches}
        manifests = {path.name: path.read_bytes() for path in (self.folder / "manifests").iterdir()}
        assert manifests == {
            batch.file_name.replace(".xml", ".json"): batch.manifest.value for batch in batches
        }
        assert not [path.name for path in self.folder.iterdir() if path.name.endswith(".part")]

    async def _begin(self, *arguments: str, crash_at: str = "", out: int = PIPE) -> Program:
        command = ("deliver", self.target, "--group", self.group, *self.arguments, *arguments)
        environment = self.environment | ({"CRASH_AT": crash_at} if crash_at else {})
        return await start_program(*command, environment=environment, output=out, errors=out)


TOPICS = ("export-batch.v1", "export-manifest.v1")
CONFIG = {"max.message.bytes": str(LARGE_BYTES)}
POINTS = (
    "delivery_noted",
    "delivery_manifest",
    "delivery_written",
    "delivery_started",
    "delivery_named",
    "delivery_saved",
)


LAYOUT = """
line = [{ field = "bursar_transaction_id", length = 20, align = "right", pad = "0" },
        { field = "amount", length = 12, align = "right", pad = "0" }]
trailer = [{ field = "count", length = 6, align = "right", pad = "0" },
           { field = "total", length = 15, align = "right", pad = "0" }]
"""


def state_of(drop: Drop) -> Path:
    return Path(drop.arguments[-1])


def journal_of(drop: Drop) -> Path:
    state = state_of(drop)
    return state.with_name(f"{state.name}.delivered")


def take_files(drop: Drop) -> None:
    """A reader takes everything away, manifests as well."""
    for path in (*drop.folder.glob("*.*"), *drop.folder.glob("manifests/*")):
        path.unlink()


def check_undeliverable(ended: Ended, text: str, before: Sealed, now: Sealed) -> None:
    """One line, which names both batches."""
    lines = [line for line in ended.problems.splitlines() if not line.startswith("{")]
    (line,) = [line for line in lines if text in line]
    for batch in (before, now):
        assert batch.file_name in line
        assert batch.sha256[:12] in line
        assert f"batch {batch.batch_number} of 972/DAILY" in line


def learned(ended: Ended) -> list[tuple[object, object, object]]:
    """Profile, first and last batch of each line that tells what a journal began with."""
    lines = [json.loads(line) for line in ended.problems.splitlines() if line.startswith("{")]
    return [
        (line["profile"], line["first"], line["last"])
        for line in lines
        if line["event"] == "delivered_batches_learned"
    ]
