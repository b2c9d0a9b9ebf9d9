"""A service, its topics, and copies of its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.restore.variants import World
from tests.support.process import Site
from tests.support.restoring import PROFILE, Backups
from tests.support.services import Services


@pytest.fixture
async def world(
    services: Services,
    database_url: str,
    topic_prefix: str,
    group_id: str,
    kafka_admin: AdminClient,
    tmp_path: Path,
) -> AsyncIterator[World]:
    """The topics are there; nothing runs yet."""
    site = Site(database_url, services.kafka_bootstrap_servers, topic_prefix, group_id, tmp_path)
    backups = Backups(site, services.database_url)
    site.write_profiles(PROFILE)
    await site.command("topics", "create", "--partitions", "2")
    try:
        yield World(site, backups, kafka_admin)
    finally:
        await site.end_all()
        await backups.drop_all()
