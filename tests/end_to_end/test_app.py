"""The whole process: from a fine in Kafka to the balance in Kafka, and how it starts and ends."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import asyncpg
import pytest

from service.database.reach import target_of
from tests.support.inputs import bursar_payment, structured
from tests.support.topics import produce, read_topic
from tests.support.waiting import until
from tests.support.world import (
    PROFILE,
    SECONDS_MAX,
    Topics,
    World,
    command,
    has_event,
    probe,
    ready,
    running,
    someone_waits,
    stopped,
    value,
)

ROOT = Path(__file__).parents[2]


SQL_DELAY = "LOCK TABLE account IN ACCESS EXCLUSIVE MODE"


async def test_a_fine_goes_all_the_way_and_its_payment_too(world: World, topics: Topics) -> None:
    await topics()
    profiles = world.folder / "profiles.toml"
    profiles.write_text(PROFILE)
    world = world.with_settings(BURSAR_PROFILES_FILE=str(profiles))
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
    paid = [item for item in last if item["patron_id"] == "P-2"][-1]
    assert paid["balance"] == {"active": "0.00", "transferred": "0.00", "total": "0.00"}
    assert "Doe" not in (world.folder / "log").read_text("utf-8")


async def test_a_stop_in_the_middle_of_the_work_sends_what_was_committed(
    world: World, topics: Topics
) -> None:
    await topics()
    world.fines(1, 4_000)
    world = world.with_settings(BURSAR_POLL_RECORDS_MAX="200")

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
    world = world.with_settings(BURSAR_RELAY_PAGE_ROWS_MAX="1", BURSAR_RELAY_IDLE_MS="60000")
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
    world = world.with_settings(
        BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000", BURSAR_RELAY_IDLE_MS="60000"
    )
    world = world.with_settings(BURSAR_SWEEP_INTERVAL_SECONDS="1")
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
    world = world.with_settings(BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000")
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
    world = world.with_settings(
        BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000", BURSAR_SHUTDOWN_SECONDS_MAX="4"
    )
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
    world = world.with_settings(DATABASE_URL=f"postgresql://u:Geheim-1@127.0.0.1:{port}/bursar")
    async with running(world) as process:
        await until(lambda: has_event(world, "database_awaited"))
        assert (await probe(world, "/livez"))[0] == 200
        status, result = await probe(world, "/readyz")
        assert status == 503
        assert result["checks"] == {"started": {"ok": False, "problem": "waits for the database"}}
        assert await stopped(process) == 0
    assert "Geheim" not in (world.folder / "log").read_text("utf-8")


async def test_a_database_that_does_not_exist_ends_it_with_one_line(world: World) -> None:
    url = world.environment["DATABASE_URL"]
    world = world.with_settings(DATABASE_URL=url + "_no_such")
    async with running(world) as process, asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == 1
    last = world.log[-1]
    assert (last["event"], last["sort"]) == ("failed", "LoginFailed")
    target = target_of(url)
    assert last["text"] == (
        "DATABASE_URL: there is no such database: "
        f"user {target.user}, database {target.database}_no_such at {target.address}"
    )


async def test_without_leave_to_migrate_it_says_what_is_missing(
    world: World, empty_database_url: str
) -> None:
    world = world.with_settings(DATABASE_URL=empty_database_url, BURSAR_MIGRATE_AT_START="false")
    async with running(world) as process, asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == 1
    assert "bursar-bridge migrate" in str(world.log[-1]["text"])


async def test_a_port_that_is_taken_is_told_in_one_line(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        world = world.with_settings(BURSAR_OPS_PORT=str(taken.getsockname()[1]))
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


async def test_creating_topics_again_leaves_them_as_they_are(world: World, topics: Topics) -> None:
    await topics()
    status, result, _ = await command(world, "topics", "create")
    assert (status, result) == (0, "0 created, 10 there already\n")
