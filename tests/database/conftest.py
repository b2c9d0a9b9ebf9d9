"""Fixtures of several modules: the write path, a bursar who sends files back, an importing desk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.commands import Commands, MakeCommands
from tests.support.importing import PROFILE, Bursar, Desk
from tests.support.topics import create_topic
from tests.support.write_path import WritePath, write_path


@pytest.fixture
def make_commands(database_url: str, bootstrap_servers: str, tmp_path: Path) -> MakeCommands:
    """Makes the commands of an installation with these profiles, a TOML text, and settings."""

    def make(profiles: str, **settings: str) -> Commands:
        file = tmp_path / "profiles.toml"
        file.write_text(profiles)
        return Commands(database_url, bootstrap_servers, BURSAR_PROFILES_FILE=str(file), **settings)

    return make


@pytest.fixture
def commands(database_url: str, bootstrap_servers: str) -> Commands:
    """The commands of an installation without profiles; modules with profiles override it."""
    return Commands(database_url, bootstrap_servers)


@pytest.fixture
async def restored_url(new_database: Callable[[], Awaitable[str]]) -> str:
    """The URL of an older database that has come back, beside the lost one of `path`."""
    return await new_database()


@pytest.fixture
async def restored(restored_url: str) -> AsyncIterator[WritePath]:
    """The write path on the older database that has come back."""
    async with write_path(restored_url) as path:
        yield path


@pytest.fixture
def bursar(
    path: WritePath, bootstrap_servers: str, kafka_admin: AdminClient, topic_prefix: str
) -> Bursar:
    create_topic(kafka_admin, f"{topic_prefix}bursar-payment.v1", partitions=1)
    return Bursar(path, bootstrap_servers, topic_prefix)


@pytest.fixture
def desk(bursar: Bursar, database_url: str, topic_prefix: str, tmp_path: Path) -> Desk:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(PROFILE)
    settings = {
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_PROFILES_FILE": str(profiles),
    }
    return Desk(bursar, Commands(database_url, bursar.servers, **settings), tmp_path)
