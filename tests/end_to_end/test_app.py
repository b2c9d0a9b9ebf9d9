"""The whole process: from a fine in Kafka to the balance in Kafka, and how it starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg
import orjson
import pytest

from service.database.reach import target_of
from tests.support.inputs import bursar_payment, fine_created, structured
from tests.support.programs import Program, start_program
from tests.support.topics import produce, read_topic

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 60
STOP_SECONDS_MAX = 25
SQL_DELAY = "LOCK TABLE account IN ACCESS EXCLUSIVE MODE"
PROFILE = """
[[institution]]
id = "6050"
zone = "Europe/Vienna"

[[profile]]
code = "bursar"
name = "Bursar"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE"]
match = "02"
"""


@dataclass(frozen=True, slots=True)
class World:
    """What a process of this test is told, and where its log goes."""

    environment: Mapping[str, str]
    servers: str
    prefix: str
    folder: Path

    def told(self, **settings: str) -> World:
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
        return [orjson.loads(one.value or b"") for one in read]


@pytest.fixture
def world(
    database_url: str,
    bootstrap_servers: str,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> World:
    own = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_CONSUMER_GROUP": group_id,
        "BURSAR_OPS_PORT": "0",
        "BURSAR_SHUTDOWN_SECONDS_MAX": str(STOP_SECONDS_MAX),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return World({**kept, **own}, bootstrap_servers, topic_prefix, tmp_path)


@pytest.fixture
def topics(world: World) -> Callable[[], Awaitable[None]]:
    async def create() -> None:
        status, _, problems = await command(world, "topics", "create", "--partitions", "2")
        assert (status, problems) == (0, "")

    return create


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


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


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
        found: object = await connection.fetchval(query)
        return found
    finally:
        await connection.close()


Topics = Callable[[], Awaitable[None]]


async def test_a_fine_goes_all_the_way_and_its_payment_too(world: World, topics: Topics) -> None:
    await topics()
    profiles = world.folder / "profiles.toml"
    profiles.write_text(PROFILE)
    world = world.told(BURSAR_PROFILES_FILE=str(profiles))
    async with running(world) as process:
        await ready(world)
        world.fines(1, 3)

        async def has(count: int) -> bool:
            return len(world.sent("balance-changed.v1")) == count

        await until(lambda: has(3))
        status, table, _ = await command(world, "export", "run", "--profile", "bursar")
        assert status == 0
        assert "286.50" in table
        await until(lambda: has(6))
        payment, _ = structured("bursar-payment.v1", bursar_payment(fine_id="F-2"))
        produce(world.servers, f"{world.prefix}bursar-payment.v1", [(None, payment)])
        await until(lambda: has(7))
        assert len(world.sent("export-manifest.v1")) == 1
        assert await stopped(process) == 0
    last = world.sent("balance-changed.v1")
    paid = [one for one in last if one["patron_id"] == "P-2"][-1]
    assert paid["balance"] == {"active": "0.00", "transferred": "0.00", "total": "0.00"}
    assert "Doe" not in (world.folder / "log").read_text("utf-8")


async def test_a_stop_in_the_middle_of_the_work_sends_what_was_committed(
    world: World, topics: Topics
) -> None:
    await topics()
    world.fines(1, 4_000)
    world = world.told(BURSAR_POLL_RECORDS_MAX="200")

    async def at_work() -> bool:
        return bool(await value(world, "SELECT count(*) > 0 FROM fine"))

    async with running(world) as process:
        await until(at_work)
        assert await stopped(process) == 0
    assert world.events()[-1] == "stopped"
    assert await value(world, "SELECT count(*) FROM outbox") == 0
    fines = await value(world, "SELECT count(*) FROM fine")
    assert fines == await value(world, "SELECT sum(next_offset) FROM consumer_offset")
    assert len(world.sent("balance-changed.v1")) == fines


async def test_a_stop_waits_for_the_relay_to_send_what_is_left(
    world: World, topics: Topics
) -> None:
    await topics()
    world = world.told(BURSAR_RELAY_PAGE_ROWS_MAX="1", BURSAR_RELAY_IDLE_MS="60000")
    rows = f"""
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
SELECT '{world.prefix}rejected.v1', '{{k}}', '{{v}}', '{{"[]"}}', now() FROM generate_series(1, 50)
"""
    async with running(world) as process:
        await ready(world)
        await until(lambda: has_event(world, "lease_taken"))
        await value(world, rows)
        assert await stopped(process) == 0
    assert await value(world, "SELECT count(*) FROM outbox") == 0
    assert len(read_topic(world.servers, f"{world.prefix}rejected.v1")) == 50


@pytest.mark.parametrize(
    ("part", "table"), [("reconcile", "export_line"), ("sweep and measure", "parked")]
)
async def test_a_stop_does_not_wait_for_upkeep_and_sends_what_is_left(
    world: World, topics: Topics, part: str, table: str
) -> None:
    """A statement of it hangs, here on a rival's lock: it is given up, and the relay goes on."""
    await topics()
    world = world.told(BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000", BURSAR_RELAY_IDLE_MS="60000")
    world = world.told(BURSAR_SWEEP_INTERVAL_SECONDS="1")
    row = f"""
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
VALUES ('{world.prefix}rejected.v1', '{{k}}', '{{v}}', '{{"[]"}}', now())
"""
    rival = await asyncpg.connect(world.environment["DATABASE_URL"])
    try:
        async with rival.transaction():
            await rival.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            async with running(world) as process:
                await until(lambda: has_event(world, "lease_taken"))
                await until(lambda: someone_waits(world))
                await value(world, row)
                assert await stopped(process) == 0
    finally:
        await rival.close()
    assert "stop_overdue" not in world.events(), part
    assert await value(world, "SELECT count(*) FROM outbox") == 0


async def test_a_second_signal_ends_it_at_once(world: World, topics: Topics) -> None:
    """A commit that waits for a rival's lock would take its time; nobody has to wait for it."""
    await topics()
    world = world.told(BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000")
    rival = await asyncpg.connect(world.environment["DATABASE_URL"])
    try:
        async with running(world) as process:
            await ready(world)
            async with rival.transaction():
                await rival.execute(SQL_DELAY)
                world.fines(1, 1)
                await until(lambda: someone_waits(world))
                process.send_signal(signal.SIGTERM)
                await until(lambda: has_event(world, "stop_asked"))
                assert await stopped(process) == 128 + signal.SIGTERM
    finally:
        await rival.close()
    assert "stop_overdue" not in world.events()  # the bound had no part in it


async def test_stopping_is_bounded_though_a_commit_hangs(world: World, topics: Topics) -> None:
    await topics()
    world = world.told(BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000", BURSAR_SHUTDOWN_SECONDS_MAX="4")
    rival = await asyncpg.connect(world.environment["DATABASE_URL"])
    try:
        async with running(world) as process:
            await ready(world)
            async with rival.transaction():
                await rival.execute(SQL_DELAY)
                world.fines(1, 1)
                await until(lambda: someone_waits(world))
                await stopped(process)
    finally:
        await rival.close()
    assert "stop_overdue" in world.events()


async def test_before_the_database_is_there_it_lives_and_is_not_ready(world: World) -> None:
    """Nobody listens on the port yet; the process waits, and stops when it is asked to."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    world = world.told(DATABASE_URL=f"postgresql://u:Geheim-1@127.0.0.1:{port}/bursar")
    async with running(world) as process:
        await until(lambda: has_event(world, "database_awaited"))
        assert (await probe(world, "/livez"))[0] == 200
        status, told = await probe(world, "/readyz")
        assert status == 503
        assert told["checks"] == {"started": {"ok": False, "problem": "waits for the database"}}
        assert await stopped(process) == 0
    assert "Geheim" not in (world.folder / "log").read_text("utf-8")


async def test_a_database_that_does_not_exist_ends_it_with_one_line(world: World) -> None:
    url = world.environment["DATABASE_URL"]
    world = world.told(DATABASE_URL=url + "_no_such")
    async with running(world) as process, asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == 1
    last = world.log[-1]
    assert (last["event"], last["sort"]) == ("failed", "DatabaseRefused")
    target = target_of(url)
    assert last["text"] == (
        "DATABASE_URL: there is no such database: "
        f"user {target.user}, database {target.database}_no_such at {target.address}"
    )


async def test_without_leave_to_migrate_it_says_what_is_missing(
    world: World, empty_database_url: str
) -> None:
    world = world.told(DATABASE_URL=empty_database_url, BURSAR_MIGRATE_AT_START="false")
    async with running(world) as process, asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == 1
    assert "bursar-bridge migrate" in str(world.log[-1]["text"])


async def test_a_port_that_is_taken_is_told_in_one_line(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        world = world.told(BURSAR_OPS_PORT=str(taken.getsockname()[1]))
        async with running(world) as process, asyncio.timeout(SECONDS_MAX):
            assert await process.wait() == 1
    (line,) = world.log
    assert str(line["text"]).startswith("BURSAR_OPS_HOST, BURSAR_OPS_PORT: cannot listen")


async def test_it_outlives_a_database_that_ends_its_sessions(world: World, topics: Topics) -> None:
    await topics()
    end_all = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
    async with running(world) as process:
        await ready(world)
        world.fines(1, 10)
        await value(world, end_all)
        world.fines(11, 10)
        await value(world, end_all)

        async def all_there() -> bool:
            return len(world.sent("balance-changed.v1")) >= 20

        await until(all_there)
        assert await value(world, "SELECT count(*) FROM fine") == 20
        await ready(world)
        assert await stopped(process) == 0


async def test_check_is_content_with_a_world_in_order(world: World, topics: Topics) -> None:
    status, told, _ = await command(world, "check")
    assert status == 1
    assert "fine-created.v1: must exist" in told
    assert "fit the topics" not in told  # nothing is known of topics that are not there
    await topics()
    status, told, problems = await command(world, "check")
    assert (status, problems) == (0, ""), told
    assert "fit the topics" in told
    status, told, _ = await command(world, "topics", "check")
    assert (status, told) == (0, "all 9 topics are as they must be\n")


@pytest.mark.parametrize(
    ("migrates", "code", "verdict"), [("true", 0, "note"), ("false", 1, "fault")]
)
async def test_check_finds_fault_with_an_empty_database_only_where_the_start_leaves_it_so(
    world: World, topics: Topics, empty_database_url: str, migrates: str, code: int, verdict: str
) -> None:
    await topics()
    told_so = world.told(DATABASE_URL=empty_database_url, BURSAR_MIGRATE_AT_START=migrates)
    status, told, _ = await command(told_so, "check")
    (row,) = [line for line in told.splitlines() if "migrations" in line]
    assert (status, row.split()[1]) == (code, verdict), told


async def test_creating_topics_again_leaves_them_as_they_are(world: World, topics: Topics) -> None:
    await topics()
    status, told, _ = await command(world, "topics", "create")
    assert (status, told) == (0, "0 created, 9 there already\n")


async def someone_waits(world: World) -> bool:
    query = """
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
    return bool(await value(world, query))


async def has_event(world: World, event: str) -> bool:
    return event in world.events()
