"""A database, topics and a service of the demo's own, and their end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.services.process import GuardedProcess

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "var" / "demo"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
CLEAR_SECONDS_MAX = 60
PARTITIONS = ("--partitions", "3")
PAUSE_SECONDS = 0.05

Progress = Callable[[str], None]


class DemoFailed(Exception):
    """The demo cannot go on: what it waited for, or what failed."""


@dataclass(frozen=True)
class World:
    """Where everything is. `environment` is that of the service and of its commands."""

    database_url: str
    kafka_bootstrap_servers: str
    topic_prefix: str
    group: str
    environment: dict[str, str]

    def topic(self, name: str) -> str:
        """The full name of a topic, with its prefix and version."""
        return f"{self.topic_prefix}{name}.v1"

    async def command(self, *arguments: str) -> str:
        """Runs `python -m service ...` to its end, as an operator would; its standard output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", *arguments),
            cwd=ROOT,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which ends what it started
        )
        try:
            out, problems = await process.communicate()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if process.returncode != 0:
            output = (problems or out).decode(errors="replace").strip()
            raise DemoFailed(f"`service {' '.join(arguments)}` ended with an error:\n{output}")
        return out.decode(errors="replace")


@asynccontextmanager
async def temporary_world(
    server_url: str, servers: str, tell: Progress, folder: Path, profiles: str, label: str = "demo"
) -> AsyncIterator[World]:
    """An own database and own topics on these servers; both are gone afterwards.

    `profiles` is the text of the configuration file, which is put into `folder`. Their names
    begin with `label`, so that whoever looks for what is left finds only what is its own.
    """
    mark = uuid.uuid4().hex[:8]
    name, prefix, group = f"bursar_{label}_{mark}", f"{label}-{mark}.", f"{label}-{mark}"
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    settings = {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "BURSAR_TOPIC_PREFIX": prefix,
        "BURSAR_CONSUMER_GROUP": group,
        "BURSAR_PROFILES_FILE": str(folder / "profiles.toml"),
        "BURSAR_OPS_PORT": "0",
        "BURSAR_LOG_FORMAT": "json",
    }
    (folder / "profiles.toml").write_text(profiles)
    world = World(url, servers, prefix, group, plain_environment() | settings)
    tell("making a database and topics")
    await execute(server_url, f'CREATE DATABASE "{name}"')
    try:
        await asyncio.gather(
            world.command("migrate"), world.command("topics", "create", *PARTITIONS)
        )
        yield world
    finally:
        tell("clearing away")
        await execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')
        await asyncio.to_thread(clear_kafka, servers, prefix, group)


def plain_environment() -> dict[str, str]:
    """Ours, without settings that happen to be in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}


@asynccontextmanager
async def running_service(world: World, tell: Progress) -> AsyncIterator[GuardedProcess]:
    """`python -m service run`, ready; ended by SIGTERM, also when the demo is killed."""
    tell("starting the service")
    process = await asyncio.to_thread(
        GuardedProcess,
        "demo-service",
        [sys.executable, "-m", "service", "run"],
        folder=ROOT,
        environment=world.environment,
        grace_seconds=STOP_SECONDS_MAX,
    )
    try:
        await asyncio.to_thread(process.start)
        await _until_ready(process)
        yield process
    finally:
        tell("stopping the service")
        await asyncio.to_thread(process.close)


async def _until_ready(process: GuardedProcess) -> None:
    async with aiohttp.ClientSession() as session:
        waited: str | None = "did not say where it listens"
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                while True:
                    port = ops_port(process.log)
                    if port is not None:
                        waited = await why_not_ready(session, f"http://127.0.0.1:{port}")
                        if waited is None:
                            return
                    check_alive(process)
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            raise DemoFailed(f"the service is not ready: {waited}; see {process.log}") from None


def ops_port(log: Path) -> int | None:
    """The port that the service chose, from its log."""
    for record in log.read_text(errors="replace").splitlines():
        if '"ops_listening"' in record:
            port: int = json.loads(record)["port"]
            return port
    return None


async def why_not_ready(session: aiohttp.ClientSession, ops_url: str) -> str | None:
    """None when /readyz answers 200; else what it said."""
    try:
        async with session.get(f"{ops_url}/readyz") as response:
            return None if response.status == 200 else await response.text()
    except (aiohttp.ClientError, TimeoutError) as problem:
        return f"{type(problem).__name__}: {problem}"


def check_alive(process: GuardedProcess) -> None:
    """Raises with the end of the log when the service is not running."""
    if process.pid() is None:
        raise DemoFailed(
            f"the service ended by itself; the end of {process.log}:\n{process.log_tail()}"
        )


def clear_kafka(servers: str, prefix: str, group: str) -> None:
    """Deletes the demo's topics and its consumer group."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        if topics := _topics_of(admin, prefix):
            _finish(admin.delete_topics(topics, request_timeout=CLEAR_SECONDS_MAX))
            _wait_until_unlisted(admin, prefix)
        known = admin.list_consumer_groups().result(CLEAR_SECONDS_MAX).valid
        if group in {listing.group_id for listing in known}:
            _finish(admin.delete_consumer_groups([group], request_timeout=CLEAR_SECONDS_MAX))
    except (KafkaException, TimeoutError) as problem:
        raise DemoFailed(f"topics or group {prefix} could not be deleted: {problem}") from problem


def _topics_of(admin: AdminClient, prefix: str) -> list[str]:
    listed = admin.list_topics(timeout=CLEAR_SECONDS_MAX).topics
    return [name for name in listed if name.startswith(prefix)]


def _wait_until_unlisted(admin: AdminClient, prefix: str) -> None:
    """A broker goes on to list topics for a moment after their deletion has been accepted."""
    end = time.monotonic() + CLEAR_SECONDS_MAX
    while _topics_of(admin, prefix):
        if time.monotonic() > end:
            raise TimeoutError("they are still listed")
        time.sleep(PAUSE_SECONDS)


def _finish(futures: Mapping[str, Future[None]]) -> None:
    for done in futures.values():
        done.result(CLEAR_SECONDS_MAX)


async def execute(url: str, statement: str) -> None:
    """Runs one statement on a database, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
