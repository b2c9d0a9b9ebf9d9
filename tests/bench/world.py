"""Databases, topics and processes of the benchmark's own, and their end."""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka import TopicPartition
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from service.database.migrate import migrate
from service.kafka.clients import close_client, new_reader, start
from service.kafka.topics import create_topics
from service.settings.access import KafkaAccess
from tests.bench import cpu
from tests.bench.load import PROFILES, Record
from tests.support.services import Services
from tests.support.services.process import GuardedProcess
from tests.support.topics import group_assignment

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "var" / "bench"
PARTITIONS = 6
STILL_SECONDS_MAX = 60.0  # without any progress
KAFKA_SECONDS_MAX = 60
POLL_SECONDS = 0.02
NO_COORDINATOR = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


class BenchFailed(Exception):
    """There is nothing to report: what was refused, or what stood still."""


@dataclass(frozen=True)
class World:
    """A database, topics and a group for one measurement."""

    services: Services
    database_url: str
    topic_prefix: str

    @property
    def group(self) -> str:
        return self.topic_prefix.rstrip(".")

    @property
    def environment(self) -> dict[str, str]:
        """The operator's settings, and none that happen to be in ours; no coverage either."""
        others = ("BURSAR_", "COVERAGE_")
        rest = {name: text for name, text in os.environ.items() if not name.startswith(others)}
        return rest | {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.services.kafka_bootstrap_servers,
            "BURSAR_TOPIC_PREFIX": self.topic_prefix,
            "BURSAR_CONSUMER_GROUP": self.group,
            "BURSAR_OPS_PORT": "0",
            "BURSAR_LOG_LEVEL": "warning",
        }


async def require_durable(database_url: str) -> None:
    """Raises BenchFailed: without them the figures would say nothing."""
    connection = await asyncpg.connect(database_url)
    try:
        off = [name for name in DURABLE if await connection.fetchval(f"SHOW {name}") == "off"]
    finally:
        await connection.close()
    if off:
        raise BenchFailed(f"PostgreSQL runs with {', '.join(off)} off: nothing is measured on it")


@asynccontextmanager
async def new_database(services: Services, template: str | None = None) -> AsyncIterator[str]:
    """The URL of a migrated database, or of a copy of another one that nobody is connected to."""
    name = f"bursar_bench_{uuid.uuid4().hex[:12]}"
    copied = "" if template is None else f' TEMPLATE "{urlsplit(template).path[1:]}"'
    url = urlunsplit(urlsplit(services.database_url)._replace(path=f"/{name}"))
    await execute(services.database_url, f'CREATE DATABASE "{name}"{copied}')
    try:
        if template is None:
            await migrate(url)
        yield url
    finally:
        await execute(services.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def new_world(services: Services, template: str | None = None) -> AsyncIterator[World]:
    """A database and topics; both are gone afterwards. The server starts out with a checkpoint."""
    async with new_database(services, template) as url, new_topics(services, url) as world:
        yield world


@asynccontextmanager
async def new_topics(services: Services, database_url: str) -> AsyncIterator[World]:
    """The same with a database that stays: it may have been in another world before."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    access = KafkaAccess(kafka_bootstrap_servers=services.kafka_bootstrap_servers)
    await create_topics(access, prefix, PARTITIONS, 1)
    try:
        # A database of another world, or a copy of it, begins with topics of its own.
        await execute(database_url, "DELETE FROM kafka_home")
        await execute(services.database_url, "CHECKPOINT")
        yield World(services, database_url, prefix)
    finally:
        await asyncio.to_thread(_delete_topics, services.kafka_bootstrap_servers, prefix)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def profiles_file() -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "profiles.toml"
    path.write_text(PROFILES)
    return path


@asynccontextmanager
async def running(world: World, name: str, *module: str) -> AsyncIterator[GuardedProcess]:
    """`python -m module ...` with the world's settings; ended by SIGTERM."""
    process = await asyncio.to_thread(
        GuardedProcess,
        f"bench-{name}",
        [sys.executable, "-m", *module],
        folder=ROOT,
        environment=world.environment,
        grace_seconds=30.0,
    )
    try:
        await asyncio.to_thread(process.start)
        yield process
    finally:
        await asyncio.to_thread(process.close)


@dataclass(frozen=True)
class Produced:
    """The time just before records could be seen, and what was used of the processor until then."""

    at: float
    used: cpu.Usage


def produce(
    world: World,
    contract: str,
    records: Sequence[Record],
    measured: Mapping[int, str] | None = None,
) -> Produced:
    """All of them at once: they are seen when their transaction commits.

    Whoever is measured therefore does not share the machine with whoever wrote the load.
    """
    producer = Producer(
        {
            "bootstrap.servers": world.services.kafka_bootstrap_servers,
            "transactional.id": f"bench-{uuid.uuid4().hex}",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": max(100_000, len(records) + 1),
            "log_level": 0,
        }
    )
    producer.init_transactions(KAFKA_SECONDS_MAX)
    producer.begin_transaction()
    topic = world.topic_prefix + contract
    for record in records:
        producer.produce(topic, record.value, record.key, headers=list(record.headers))
        producer.poll(0)
    producer.flush(KAFKA_SECONDS_MAX)
    before = Produced(time.time(), cpu.usage(measured or {}))
    producer.commit_transaction(KAFKA_SECONDS_MAX)
    return before


class Outputs:
    """Counts what an output topic has, by its end offsets; reading it would cost the measured."""

    def __init__(self, world: World, contract: str = "balance-changed.v1") -> None:
        topic = world.topic_prefix + contract
        self._reader = new_reader(
            KafkaAccess(kafka_bootstrap_servers=world.services.kafka_bootstrap_servers)
        )
        self._places = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    async def __aenter__(self) -> "Outputs":
        await start(self._reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        await close_client(self._reader)

    async def reached(self, count: int, process: GuardedProcess) -> float:
        """When the broker took the last of `count` records, by its own clock."""
        last, moved_at = -1, time.monotonic()
        while last < count:
            await asyncio.sleep(POLL_SECONDS)
            ends = await self._reader.end_offsets(self._places)
            if (now := sum(ends.values())) != last:
                last, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > STILL_SECONDS_MAX or process.pid() is None:
                raise BenchFailed(
                    f"{process.name} stands still at {last} of {count} events; the end of"
                    f" {process.log}:\n{process.log_tail()}"
                )
        if last > count:
            raise BenchFailed(f"{process.name} sent {last} events instead of {count}")
        return await self._last_append({at: end - 1 for at, end in ends.items() if end > 0})

    async def _last_append(self, last: dict[TopicPartition, int]) -> float:
        self._reader.assign(list(last))
        for at, offset in last.items():
            self._reader.seek(at, offset)
        times: dict[TopicPartition, int] = {}
        async with asyncio.timeout(KAFKA_SECONDS_MAX):
            while len(times) < len(last):
                for at, records in (await self._reader.getmany(timeout_ms=100)).items():
                    times[at] = records[-1].timestamp
        return max(times.values()) / 1_000


async def joined(world: World, members: int, process: GuardedProcess) -> None:
    """Waits until so many are in the group, each with partitions of every topic."""
    admin = AdminClient(
        {"bootstrap.servers": world.services.kafka_bootstrap_servers, "log_level": 0}
    )
    async with asyncio.timeout(KAFKA_SECONDS_MAX):
        while True:
            try:
                assignment = await asyncio.to_thread(group_assignment, admin, world.group)
            except KafkaException as problem:  # of a group that is as new as its coordinator
                if problem.args[0].code() not in NO_COORDINATOR:
                    raise
                assignment = []
            if len(assignment) == members and all(map(len, assignment)):
                return
            if process.pid() is None:
                raise BenchFailed(f"{process.name} has ended:\n{process.log_tail()}")
            await asyncio.sleep(POLL_SECONDS)


def _delete_topics(servers: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    names = [
        name
        for name in admin.list_topics(timeout=KAFKA_SECONDS_MAX).topics
        if name.startswith(prefix)
    ]
    for deleted in admin.delete_topics(names, request_timeout=KAFKA_SECONDS_MAX).values():
        deleted.result(KAFKA_SECONDS_MAX)
