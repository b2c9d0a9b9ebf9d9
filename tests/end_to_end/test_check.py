"""`bursar-bridge check` in a world of its own: what the start would meet, before the start."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.topics import configure_topic, create_topic, delete_topic
from tests.support.waiting import until
from tests.support.world import (
    SECONDS_MAX,
    Topics,
    World,
    command,
    has_event,
    probe,
    running,
    stopped,
)


async def test_check_is_content_with_a_world_in_order(world: World, topics: Topics) -> None:
    status, result, _ = await command(world, "check")
    assert status == 1
    assert "BURSAR_TOPIC_PREFIX: no topic of the service is there with the prefix" in result
    assert "`bursar-bridge topics create` creates them" in result
    assert "fit the topics" not in result  # nothing is known of topics that are not there
    await topics()
    status, result, problems = await command(world, "check")
    assert (status, problems) == (0, ""), result
    assert "fit the topics" in result
    status, result, _ = await command(world, "topics", "check")
    assert (status, result) == (0, "all 10 topics are as they must be\n")


async def test_a_topic_that_keeps_too_little_for_a_recovery_is_named_and_stops_nothing(
    world: World, topics: Topics, kafka_admin: AdminClient
) -> None:
    await topics()
    configure_topic(kafka_admin, f"{world.prefix}export-batch.v1", "retention.ms", "604800000")
    rule = "export-batch.v1: retention.ms must be at least 34560000000 (400 days), or -1"

    async def is_named() -> bool:
        return rule in (await command(world, "topics", "check"))[2]

    await until(is_named)
    status, result, _ = await command(world, "check")
    (row,) = [line for line in result.splitlines() if rule in line]
    assert (status, row.split()[1]) == (0, "note")
    async with running(world) as process:

        async def is_shown_and_logged() -> bool:
            status, body = await probe(world, "/readyz")
            return status == 200 and rule in str(body) and await has_event(world, "check_failed")

        await until(is_shown_and_logged)
        assert await stopped(process) == 0
    (failed,) = [line for line in world.log if line["event"] == "check_failed"]
    assert (failed["check"], failed["level"]) == ("topic_settings", "warning")


@pytest.mark.parametrize(
    ("records_anew", "finding"),
    [(0, "it was cut or made anew, this database goes on at"), (40, "the topic was made anew")],
)
async def test_check_and_the_start_say_the_same_of_an_input_topic_that_was_made_anew(
    world: World, topics: Topics, kafka_admin: AdminClient, records_anew: int, finding: str
) -> None:
    await topics()
    topic = f"{world.prefix}fine-created.v1"
    world.fines(1, 10)
    async with running(world) as process:

        async def are_applied() -> bool:
            return len(world.sent("balance-changed.v1")) == 10

        await until(are_applied)
        assert await stopped(process) == 0
    assert (await command(world, "check"))[0] == 0
    delete_topic(kafka_admin, topic)
    create_topic(kafka_admin, topic, 2)
    world.fines(101, records_anew)
    status, result, _ = await command(world, "check")
    assert status == 1
    (row,) = [line for line in result.splitlines() if line.startswith("input topics")]
    assert row.split()[2] == "fault"
    assert finding in row
    assert "read it from its start by deleting its rows of consumer_offset" in row
    async with running(world) as process, asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == 1
    text = row.partition("fault")[2].strip()
    place, _, _ = text.partition(", partition")
    assert any(str(line.get("text", "")).startswith(place) for line in world.log)


@pytest.mark.parametrize(
    ("migrates", "code", "verdict"), [("true", 0, "note"), ("false", 1, "fault")]
)
async def test_check_finds_fault_with_an_empty_database_only_where_the_start_leaves_it_so(
    world: World, topics: Topics, empty_database_url: str, migrates: str, code: int, verdict: str
) -> None:
    await topics()
    world_there = world.with_settings(
        DATABASE_URL=empty_database_url, BURSAR_MIGRATE_AT_START=migrates
    )
    status, result, _ = await command(world_there, "check")
    (row,) = [line for line in result.splitlines() if "migrations" in line]
    assert (status, row.split()[1]) == (code, verdict), result
