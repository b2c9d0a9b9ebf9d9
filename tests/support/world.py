"""A process of the service, from its start to its end, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg
import orjson

from tests.support.inputs import fine_created, structured
from tests.support.installation import institution, profile
from tests.support.programs import Program, start_program
from tests.support.topics import produce, read_topic
from tests.support.waiting import until

SECONDS_MAX = 60
STOP_SECONDS_MAX = 25
PROFILE = institution() + profile()


@dataclass(frozen=True, slots=True)
class World:
    """What a process of this test is told, and where its log goes."""

    environment: Mapping[str, str]
    servers: str
    prefix: str
    folder: Path

    def with_settings(self, **settings: str) -> World:
        return replace(self, environment={**self.environment, **settings})

    @property
    def log(self) -> list[dict[str, object]]:
        lines = (self.folder / "log").read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[object]:
        return [line["event"] for line in self.log]

    def fines(self, first: int, count: int) -> None:
        """`count` fines of 95.50 USD, each of another patron."""
        records = []
        for number in range(first, first + count):
            patron = {
                "patron_id": f"P-{number}",
                "name": "Doe, Jane",
                "user_group": "STUDENT",
                "identifiers": [{"type": "02", "value": f"A{number}"}],
            }
            data = fine_created(fine_id=f"F-{number}", patron=patron, loan_id=f"L-{number}")
            records.append((None, structured("fine-created.v1", data)[0]))
        produce(self.servers, f"{self.prefix}fine-created.v1", records)

    def sent(self, name: str) -> list[dict[str, object]]:
        read = read_topic(self.servers, f"{self.prefix}{name}")
        return [orjson.loads(item.value or b"") for item in read]


async def command(world: World, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and error output of a command that ends by itself."""
    process = await start_program(*arguments, environment=world.environment)
    async with ended_in_any_case(process), asyncio.timeout(SECONDS_MAX):
        out, problems = await process.communicate()
    return process.returncode, out.decode(), problems.decode()


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[Program]:
    """The service; its log lies in the world's folder."""
    with (world.folder / "log").open("wb") as log:
        process = await start_program("run", environment=world.environment, output=log, errors=log)
    async with ended_in_any_case(process):
        yield process


@contextlib.asynccontextmanager
async def ended_in_any_case(process: Program) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def probe(world: World, path: str) -> tuple[int, dict[str, object]]:
    """The operators' port; 0 while there is none yet."""
    ports = [line["port"] for line in world.log if line["event"] == "ops_listening"]
    if not ports:
        return 0, {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{ports[0]}{path}") as response,
    ):
        return response.status, await response.json()


async def ready(world: World) -> None:
    async def is_ready() -> bool:
        return (await probe(world, "/readyz"))[0] == 200

    await until(is_ready)


async def stopped(process: Program, seconds_max: int = STOP_SECONDS_MAX) -> int:
    """Asks once; the exit code. It must come in time."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(seconds_max):
        return await process.wait()


async def value(world: World, query: str) -> object:
    connection = await asyncpg.connect(world.environment["DATABASE_URL"])
    try:
        result: object = await connection.fetchval(query)
        return result
    finally:
        await connection.close()


Topics = Callable[[], Awaitable[None]]


async def someone_waits(world: World) -> bool:
    query = """
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
    return bool(await value(world, query))


async def has_event(world: World, event: str) -> bool:
    return event in world.events()
