"""A broker that hangs: connections stand, nothing is answered. A stop is in time all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import inputs
from tests.support.process import Site, connected
from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka
from tests.support.topics import produce

FINE = "fine-created.v1"
# Each part's bounded waits, one after the other, took 19 seconds of it.
SHUTDOWN_SECONDS_MAX = 16
PUT = """
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
VALUES ($1, ARRAY['k'::bytea], ARRAY['v'::bytea], ARRAY['[]'::bytea], clock_timestamp())
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalKafka]:
    """One of this module's own: it is stopped in the middle of its work."""
    kafka = LocalKafka(tools(lambda _: None))
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.close()


@contextmanager
def hung(broker: LocalKafka) -> Iterator[None]:
    pid = broker.process.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def beside(
    broker: LocalKafka, database_url: str, group_id: str, tmp_path: Path
) -> AsyncIterator[Site]:
    settings = {"BURSAR_SHUTDOWN_SECONDS_MAX": str(SHUTDOWN_SECONDS_MAX)}
    site = Site(
        database_url, broker.bootstrap_servers(), f"{group_id}.", group_id, tmp_path, settings
    )
    await site.command("topics", "create", "--partitions", "2")
    yield site
    await site.end_all()


@pytest.mark.slow
async def test_a_stop_with_a_hung_broker_is_not_overdue(broker: LocalKafka, beside: Site) -> None:
    await beside.start()
    data, _ = inputs.structured(FINE, inputs.fine_created())
    await asyncio.to_thread(produce, beside.servers, beside.topic(FINE), [(b"k", data)])
    await beside.until_idle(1)
    with hung(broker):
        async with connected(beside.database_url) as connection:
            await connection.execute(PUT, beside.topic("balance-changed.v1"))
        await beside.stop()
    assert "stop_overdue" not in [line["event"] for line in beside.log()]


@pytest.mark.slow
async def test_a_stop_of_a_start_with_a_hung_broker_is_not_overdue(
    broker: LocalKafka, beside: Site
) -> None:
    """The start waits for Kafka's answer to the restore check: that is given up."""
    beside.settings = {**beside.settings, "BURSAR_SHUTDOWN_SECONDS_MAX": "8"}
    async with connected(beside.database_url) as connection:
        await connection.execute(PUT, beside.topic("balance-changed.v1"))
    with hung(broker):
        await beside.start(until="restore_check_awaited")
        await beside.stop()
    assert "stop_overdue" not in [line["event"] for line in beside.log()]
