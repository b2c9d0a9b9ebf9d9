"""Processes of the service for end-to-end tests, ended however a test ends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from service.database.session import Pool, create_pool
from tests.support.delivering import CONFIG, TOPICS, Drop
from tests.support.process import Site
from tests.support.topics import create_topic
from tests.support.world import STOP_SECONDS_MAX, World, command


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
async def site(
    database_url: str,
    bootstrap_servers: str,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    """Nothing runs yet, and there are no topics."""
    site = Site(database_url, bootstrap_servers, topic_prefix, group_id, tmp_path)
    try:
        yield site
    finally:
        await site.end_all()


@pytest.fixture
def world(
    database_url: str,
    bootstrap_servers: str,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> World:
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_CONSUMER_GROUP": group_id,
        "BURSAR_OPS_PORT": "0",
        "BURSAR_SHUTDOWN_SECONDS_MAX": str(STOP_SECONDS_MAX),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return World({**kept, **environment}, bootstrap_servers, topic_prefix, tmp_path)


@pytest.fixture
def topics(world: World) -> Callable[[], Awaitable[None]]:
    async def create() -> None:
        status, _, problems = await command(world, "topics", "create", "--partitions", "2")
        assert (status, problems) == (0, "")

    return create


@pytest.fixture
def drop(
    bootstrap_servers: str,
    kafka_admin: AdminClient,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> Drop:
    for name in TOPICS:
        create_topic(kafka_admin, topic_prefix + name, 2, CONFIG)
    folder = tmp_path / "drop"
    folder.mkdir()
    return Drop(bootstrap_servers, topic_prefix, group_id, str(folder), folder)
