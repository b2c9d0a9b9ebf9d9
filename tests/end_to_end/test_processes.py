"""`bursar-bridge run` with several processes: whole services under one parent."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import until
from tests.support.world import (
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

MEMBERS = 2
STARTS_SECONDS_MAX = 120


@pytest.fixture
def two(world: World) -> World:
    return world.with_settings(
        BURSAR_PROCESSES=str(MEMBERS),
        BURSAR_KAFKA_SESSION_TIMEOUT_MS="6000",
        BURSAR_DATABASE_IDLE_IN_TRANSACTION_MS_MAX="5000",
    )


def pids(world: World, member: int | None = None) -> list[int]:
    """The process ids of all starts of members, or of a member, in their order."""
    return [
        int(str(line["pid"]))
        for line in world.log
        if line["event"] == "member_started" and member in (None, line["member"])
    ]


def is_alive(pid: int) -> bool:
    """A process that has ended and that nobody has waited for counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def none_is_alive(world: World) -> bool:
    return not any(map(is_alive, pids(world)))


async def metric(world: World, name: str, **labels: str) -> int | None:
    """The value at the parent's port; the sum over the labels that are not named."""
    port = next(line["port"] for line in world.log if line["event"] == "ops_listening")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        text = await response.text()
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return int(sum(values)) if values else None


async def applied(world: World, fines: int) -> None:
    async def are_sent() -> bool:
        return len(world.sent("balance-changed.v1")) >= fines

    await until(are_sent)


async def test_members_share_the_work_and_one_port_says_what_they_did(
    two: World, topics: Topics
) -> None:
    await topics()
    async with running(two) as parent:
        await ready(two)
        two.fines(1, 60)
        await applied(two, 60)

        async def is_counted() -> bool:
            taken = (
                await metric(two, "bursar_records_total"),
                await metric(two, "bursar_sent_total"),
            )
            return taken == (60, 60)

        await until(is_counted)
        assert await metric(two, "bursar_partitions_assigned") == 4 * 2
        assert await metric(two, "bursar_relay_lease_held") == 1
        assert await metric(two, "bursar_members", state="running") == MEMBERS
        assert await metric(two, "bursar_check_ok", check="intake") == 1
        assert (await probe(two, "/livez"))[0] == 200
        _, page = await probe(two, "/readyz")
        checks = page["checks"]
        assert isinstance(checks, dict)
        assert {"members", "database", "kafka", "intake", "relay"} <= checks.keys()
        assert await stopped(parent) == 0
    assert none_is_alive(two)
    assert two.events()[-1] == "stopped"
    assigned = {line["member"] for line in two.log if line["event"] == "partitions_assigned"}
    assert assigned == {1, 2}, "each has joined the group, and its log names it"


async def test_a_member_that_is_killed_is_replaced_and_every_fine_counts_once(
    two: World, topics: Topics
) -> None:
    await topics()
    async with running(two) as parent:
        await ready(two)
        two.fines(1, 40)
        await applied(two, 40)
        before = await metric(two, "bursar_records_total")
        (victim,) = pids(two, 1)
        os.kill(victim, signal.SIGKILL)
        two.fines(41, 40)

        async def is_replaced() -> bool:
            now = await metric(two, "bursar_records_total")
            assert now is not None
            assert before is not None
            assert now >= before, "a counter went back"
            return len(pids(two, 1)) == 2

        await until(is_replaced)
        await applied(two, 80)
        await ready(two)
        assert await metric(two, "bursar_member_ends_total", how="ended") == 1
        assert len(pids(two, 2)) == 1
        assert await stopped(parent) == 0
    (ended,) = [line for line in two.log if line["event"] == "member_ended" and line["status"]]
    assert (ended["member"], ended["status"]) == (1, -signal.SIGKILL)
    assert await value(two, "SELECT count(*) FROM fine") == 80
    assert len(two.sent("balance-changed.v1")) >= 80


async def test_members_stop_when_the_parent_is_killed(two: World, topics: Topics) -> None:
    await topics()
    async with running(two) as parent:
        await ready(two)
        parent.kill()
        await parent.wait()
        await until(lambda: none_is_alive(two))
    stops = {line["member"] for line in two.log if line["event"] == "stopped"}
    assert stops == {1, 2}, "each in its order, as after SIGTERM"


async def test_a_second_signal_ends_all_at_once(two: World, topics: Topics) -> None:
    """A commit that waits for a rival's lock would take its time."""
    await topics()
    two = two.with_settings(BURSAR_DATABASE_LOCK_WAIT_MS_MAX="60000")
    rival = await asyncpg.connect(two.environment["DATABASE_URL"])
    try:
        async with running(two) as parent:
            await ready(two)
            async with rival.transaction():
                await rival.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
                two.fines(1, 1)
                await until(lambda: someone_waits(two))
                parent.send_signal(signal.SIGINT)
                await until(lambda: has_event(two, "stop_asked"))
                assert await stopped(parent) == 128 + signal.SIGTERM
                await until(lambda: none_is_alive(two))
    finally:
        await rival.close()


async def test_signals_to_the_members_as_well_end_them_in_order(two: World, topics: Topics) -> None:
    """A terminal, or a service manager, sends its signal to the whole group."""
    await topics()
    async with running(two) as parent:
        await ready(two)
        for pid in pids(two):
            os.kill(pid, signal.SIGINT)
        assert await stopped(parent) == 0
    assert none_is_alive(two)


async def test_an_older_database_ends_all_with_its_status(two: World, topics: Topics) -> None:
    await topics()
    async with running(two) as parent, asyncio.timeout(STARTS_SECONDS_MAX):
        await ready(two)
        await value(
            two,
            "INSERT INTO restore_verdict (finding, detail, evidence, found_by)"
            " VALUES ('commits_missing', 'a test', '{}', 'a test')",
        )
        assert await parent.wait() == 3
    assert none_is_alive(two)


async def test_more_connections_than_the_database_admits_are_an_error(world: World) -> None:
    world = world.with_settings(BURSAR_DATABASE_CONNECTIONS_MAX="200", BURSAR_PROCESSES="50")
    async with running(world) as parent, asyncio.timeout(SECONDS_MAX):
        assert await parent.wait() == 1
    last = world.log[-1]
    assert (last["event"], last["sort"]) == ("failed", "TooManyConnections")
    assert str(last["text"]).startswith("50 x 200 connections (BURSAR_DATABASE_CONNECTIONS_MAX)")
    assert pids(world) == []
    status, result, _ = await command(world, "check")
    assert status == 1
    assert "50 x 200 connections" in result


@pytest.mark.parametrize("option", ["0", "65", "-1", "two", ""])
async def test_an_option_that_is_no_number_of_processes_is_told(world: World, option: str) -> None:
    status, _, problems = await command(world, "run", "--processes", option)
    assert status == 2
    assert "--processes: must be auto or a number from 1 to 64" in problems


async def test_auto_is_never_more_than_the_partitions(world: World, topics: Topics) -> None:
    await topics()
    status, result, problems = await command(world, "check", "--processes", "auto")
    assert (status, problems) == (0, ""), result
    assert "processes" in result


@pytest.mark.slow
async def test_a_member_that_is_halted_is_killed_and_replaced(two: World, topics: Topics) -> None:
    """The small form is in test_supervisor.py."""
    await topics()
    two = two.with_settings(BURSAR_MEMBER_SILENCE_SECONDS_MAX="10")
    async with running(two) as parent:
        await ready(two)
        (victim,) = pids(two, 2)
        os.kill(victim, signal.SIGSTOP)
        two.fines(1, 40)
        await until(lambda: len(pids(two, 2)) == 2)
        await applied(two, 40)
        await ready(two)
        assert not is_alive(victim)
        assert await metric(two, "bursar_member_ends_total", how="hung") == 1
        assert await stopped(parent) == 0
    assert await value(two, "SELECT count(*) FROM fine") == 40
