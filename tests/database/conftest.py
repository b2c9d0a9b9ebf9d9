"""What several tests share: a bursar who sends files back, and the desk that imports them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.commands import Commands
from tests.support.importing import PROFILE, Bursar, Desk
from tests.support.topics import create_topic
from tests.support.write_path import write_path


@pytest.fixture
async def bursar(
    database_url: str, bootstrap_servers: str, kafka_admin: AdminClient, topic_prefix: str
) -> AsyncIterator[Bursar]:
    create_topic(kafka_admin, f"{topic_prefix}bursar-payment.v1", partitions=1)
    async with write_path(database_url) as path:
        yield Bursar(path, bootstrap_servers, topic_prefix)


@pytest.fixture
def desk(bursar: Bursar, database_url: str, topic_prefix: str, tmp_path: Path) -> Desk:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILE)
    settings = {
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_PROFILES_FILE": str(profiles),
    }
    return Desk(bursar, Commands(database_url, bursar.servers, **settings), tmp_path)
