"""The service as processes of their own, on topics, a group and a database of a test's own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg

from tests.support.programs import ROOT, Program, start_program
from tests.support.topics import Read, read_topic

COMMAND_SECONDS_MAX = 120
POLL_SECONDS = 0.1


@dataclass(slots=True)
class Site:
    """What every process of a test is told, and the processes it has."""

    database_url: str
    servers: str
    prefix: str
    group: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    _running: dict[str, Program] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("BURSAR_")}
        return kept | {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "BURSAR_TOPIC_PREFIX": self.prefix,
            "BURSAR_CONSUMER_GROUP": self.group,
            "BURSAR_OPS_PORT": "0",
            "BURSAR_SWEEP_INTERVAL_SECONDS": "1",
            "BURSAR_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "BURSAR_KAFKA_REQUEST_TIMEOUT_MS": "5000",
            "BURSAR_DATABASE_IDLE_IN_TRANSACTION_MS_MAX": "5000",
            "COLUMNS": "200",
            **self.settings,
        }

    def _environment_for(self, root: Path) -> dict[str, str]:
        """Coverage, which starts by environment variables, is of this source alone."""
        items = self.environment.items()
        return {
            name: text for name, text in items if root == ROOT or not name.startswith("COVERAGE_")
        }

    def topic(self, contract: str) -> str:
        return self.prefix + contract

    def write_profiles(self, text: str) -> None:
        """For every process started from now on."""
        file = self.folder / "profiles.toml"
        file.write_text(text, "utf-8")
        self.settings = {**self.settings, "BURSAR_PROFILES_FILE": str(file)}

    async def command(
        self, *arguments: str, seconds_max: int = COMMAND_SECONDS_MAX, root: Path = ROOT
    ) -> str:
        """The output of a command that ends well; `root` as for `start`."""
        process = await start_program(
            *arguments, environment=self._environment_for(root), root=root
        )
        try:
            async with asyncio.timeout(seconds_max):
                out, problems = await process.communicate()
        finally:
            await end(process)
        assert process.returncode == 0, problems.decode()
        return out.decode()

    async def start(self, name: str = "one", root: Path = ROOT, until: str = "started") -> None:
        """`python -m service run`; the log of all its starts is <name>.log in the folder.

        `root` has the source that is run: this one's or an older release's. Returns once the event
        `until` is in the log and signals are taken: an earlier one would end it as any program.
        """
        assert name not in self._running
        with (self.folder / f"{name}.log").open("ab") as log:
            before = self._logged(name, until)
            self._running[name] = process = await start_program(
                "run",
                environment=self._environment_for(root),
                output=log,
                errors=log,
                root=root,
            )
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            while process.returncode is None and self._logged(name, until) == before:  # noqa: ASYNC110 - the other side is a process
                await asyncio.sleep(POLL_SECONDS)

    async def page(self, path: str, name: str = "one") -> tuple[int, str]:
        """Status and text of a page of the operators' port, of the latest start. Raises OSError."""
        ports = [line["port"] for line in self.log(name) if line["event"] == "ops_listening"]
        if not ports:
            raise ConnectionError(f"{name} does not listen yet")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{ports[-1]}{path}") as response,
        ):
            return response.status, await response.text()

    def pids_of_member(self, number: int, name: str = "one") -> list[int]:
        """The process ids of the member's starts, with several processes under one parent."""
        return [
            int(str(line["pid"]))
            for line in self.log(name)
            if line["event"] == "member_started" and line["member"] == number
        ]

    def _logged(self, name: str, event: str) -> int:
        return sum(line["event"] == event for line in self.log(name))

    async def kill(self, name: str = "one") -> None:
        """kill -9: it must have been alive until then."""
        process = self._running.pop(name)
        assert process.returncode is None, self.log(name)[-3:]
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    async def stop(self, name: str = "one") -> None:
        """SIGTERM; ends well and in time."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(COMMAND_SECONDS_MAX):
                assert await process.wait() == 0, self.log(name)[-3:]
        finally:
            await end(process)

    def take_over(self, name: str = "one") -> Program:
        """For a caller who waits for its end."""
        return self._running.pop(name)

    async def stop_all(self) -> None:
        for name in list(self._running):
            await self.stop(name)

    async def end_all(self) -> None:
        """In any case, however a test ended."""
        for process in self._running.values():
            await end(process)
        self._running.clear()

    def check_alive(self) -> None:
        for name, process in self._running.items():
            assert process.returncode is None, (name, self.log(name)[-3:])

    def log(self, name: str = "one") -> list[dict[str, object]]:
        lines = (self.folder / f"{name}.log").read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("}\n")]

    async def rows(self, query: str, *arguments: object) -> list[dict[str, object]]:
        async with connected(self.database_url) as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]

    def records(self, contract: str) -> list[Read]:
        """All records of a contract's topic."""
        return read_topic(self.servers, self.topic(contract))

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds_max: int) -> None:
        """Looks again and again; what runs must be alive all the time."""
        async with asyncio.timeout(seconds_max):
            while not await holds():
                self.check_alive()
                await asyncio.sleep(POLL_SECONDS)

    async def until_idle(self, records: int, seconds_max: int = 60) -> None:
        """All `records` of the input topics are applied, and all there was to say is said."""

        async def is_idle() -> bool:
            if await self.applied() < records:
                return False
            return (await self.rows("SELECT count(*) AS n FROM outbox"))[0]["n"] == 0

        await self.until(is_idle, seconds_max)

    async def applied(self) -> int:
        """Records of input topics that are behind us; 0 while there is no table yet."""
        async with connected(self.database_url) as connection:
            value: int = await connection.fetchval(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_offset"
            )
            return value


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def end(process: Program) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
