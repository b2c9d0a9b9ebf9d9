"""Brokers or a database that hang, and a partition that is not read: named, and over by itself.

Connections stand and nothing is answered, so nothing fails by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from aiokafka import TopicPartition
from confluent_kafka.admin import AdminClient

from service.consumer.group import Source
from service.consumer.loop import Intake
from service.messages.decode import parse
from service.relay.loop import Relay
from service.runtime.readiness import Readiness
from service.runtime.telemetry import Event, Metrics
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits
from service.wiring import register_parts
from tests.support import inputs
from tests.support.guards import opened_guard
from tests.support.process import Site
from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka
from tests.support.services.postgres import LocalPostgres
from tests.support.topics import create_topic, produce
from tests.support.waiting import until
from tests.support.write_path import write_path

FINE = "fine-created.v1"
NAMED_SECONDS_MAX = 15  # with the settings as they are; a loaded machine adds to it
SLACK_SECONDS = 10
SECONDS_MAX = 60


@contextlib.contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def until_readiness(site: Site, status: int) -> None:
    async def is_so() -> bool:
        return (await site.page("/readyz"))[0] == status

    await site.until(is_so, SECONDS_MAX)


async def until_logged(site: Site, event: str, check: str) -> dict[str, object]:
    async def is_logged() -> bool:
        return bool(logged(site, event, check))

    await site.until(is_logged, SECONDS_MAX)
    return logged(site, event, check)[0]


def logged(site: Site, event: str, check: str = "") -> list[dict[str, object]]:
    lines = (line for line in site.log() if line["event"] == event)
    return [line for line in lines if check in ("", line["check"])]


async def check_silence(site: Site, pids: list[int], check: str, problem: str) -> None:
    """Named within the time by readiness, a gauge and one line; and one line says it is over."""
    await until_readiness(site, 200)
    began = time.monotonic()
    with stopped(pids):
        line = await until_logged(site, "check_failed", check)
        assert time.monotonic() - began < NAMED_SECONDS_MAX + SLACK_SECONDS
        assert (line["level"], line["problem"]) == ("error", problem)
        status, text = await site.page("/readyz")
        assert (status, problem in text) == (503, True)
        metrics = (await site.page("/metrics"))[1]
        assert f'bursar_check_ok{{check="{check}"}} 0.0' in metrics
        assert "bursar_ready 0.0" in metrics
    line = await until_logged(site, "check_passed", check)
    assert line["level"] == "info"
    await until_readiness(site, 200)
    data, _ = inputs.structured(FINE, inputs.fine_created())
    await asyncio.to_thread(produce, site.servers, site.topic(FINE), [(b"k", data)])
    await site.until_idle(1)
    await site.stop()
    assert [line["check"] for line in logged(site, "check_failed")] == [check]
    assert [line["check"] for line in logged(site, "check_passed")] == [check]


@pytest.mark.slow
async def test_brokers_that_hang_are_named_and_recover(
    database_url: str, group_id: str, tmp_path: Path
) -> None:
    broker = LocalKafka(tools(lambda _: None))
    try:
        broker.start()
        site = Site(database_url, broker.bootstrap_servers(), "h.", group_id, tmp_path)
        await site.command("topics", "create", "--partitions", "2")
        await site.start()
        pid = broker.process.pid()
        assert pid is not None
        try:
            problem = "no broker has answered for 8 s or longer"
            await check_silence(site, [pid], "kafka", problem)
        finally:
            await site.end_all()
    finally:
        broker.close()


@pytest.mark.slow
async def test_a_database_that_hangs_is_named_and_recovers(
    bootstrap_servers: str, topic_prefix: str, group_id: str, tmp_path: Path
) -> None:
    """All processes of the server are stopped: it takes connections, and says nothing."""
    server = LocalPostgres(tools(lambda _: None).packages)
    try:
        server.start()
        site = Site(server.url(), bootstrap_servers, topic_prefix, group_id, tmp_path)
        await site.command("topics", "create", "--partitions", "2")
        await site.start()
        try:
            await until_readiness(site, 200)
            first = server.process.pid()
            assert first is not None
            pids = [first, *children(first)]
            await check_silence(site, pids, "database", "no answer within 3 s")
        finally:
            await site.end_all()
    finally:
        server.close()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8")
    return [int(child) for child in text.split()]


@contextlib.asynccontextmanager
async def reading(
    database_url: str, servers: str, group_id: str, topic: str
) -> AsyncIterator[tuple[Intake, Readiness, Metrics]]:
    """An intake whose brokers may be silent for three seconds, and its checks."""
    metrics, stop = Metrics(), asyncio.Event()
    readiness = Readiness(metrics)
    async with write_path(database_url) as path:
        access = KafkaAccess(kafka_bootstrap_servers=servers, kafka_metadata_max_age_ms=1_000)
        guard = await opened_guard(path.pool, access, group_id, inputs=[topic])
        intake = Intake(
            guard,
            access,
            Source(group_id, {topic: FINE}),
            parse,
            path.applier,
            IntakeLimits(
                poll_wait_ms=50,
                kafka_silence_seconds_max=3,
                kafka_session_timeout_ms=6_000,
                kafka_heartbeat_interval_ms=200,
            ),
            metrics,
        )
        register_parts(readiness, intake, Relay(guard, access, "nobody", metrics=metrics))
        runs = (intake.run(stop), intake.contact.run(stop))
        tasks = [asyncio.create_task(run) for run in runs]
        try:
            yield intake, readiness, metrics
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def test_a_partition_that_is_not_read_is_named_until_it_is(
    database_url: str, bootstrap_servers: str, kafka_admin: AdminClient, topic_prefix: str
) -> None:
    """The client forgets one of two partitions, as when its leader is of no use."""
    topic = create_topic(kafka_admin, topic_prefix + FINE, 2)
    group_id = topic_prefix + "group"
    problem = f"no records come from partition 1 of {topic}"

    def sample(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    async def until_problem(text: str | None) -> None:
        await until(lambda: intake.problem() == text)

    async with reading(database_url, bootstrap_servers, group_id, topic) as (
        intake,
        readiness,
        metrics,
    ):
        await until_problem(None)
        assert intake._member is not None
        consumer = intake._member._consumer
        consumer.pause(TopicPartition(topic, 1))
        data, _ = inputs.structured(FINE, inputs.fine_created())
        await asyncio.to_thread(
            produce, bootstrap_servers, topic, [(b"%d" % n, data) for n in range(30)]
        )
        with structlog.testing.capture_logs() as lines:
            await until_problem(problem)
            readiness.report(await readiness.findings())
            assert sample("bursar_topic_partitions_unread", topic=topic) in (0, 1)
            assert sample("bursar_check_ok", check="topics") == 0
            consumer.resume(TopicPartition(topic, 1))
            await until_problem(None)
            await until(lambda: not sample("bursar_topic_lag_records", topic=topic))
            readiness._latest = None  # else it answers as half a second ago
            readiness.report(await readiness.findings())
        lags = [
            sample("bursar_partition_lag_records", topic=topic, partition=number) for number in "01"
        ]
        assert lags == [0, 0]
    result = [(line["event"], line["check"]) for line in lines if "check" in line]
    assert result == [(Event.TOPICS_NOT_READ, "topics"), (Event.TOPICS_READ, "topics")]
    gone = sample("bursar_partition_lag_records", topic=topic, partition="0")
    assert gone is None, "a partition that is not read here is not shown here"


async def test_the_client_has_the_names_that_the_intake_uses() -> None:
    """Private ones, of the pinned version."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka.cluster import ClusterMetadata
    from aiokafka.consumer.fetcher import Fetcher

    assert callable(AIOKafkaConsumer.last_poll_timestamp)
    assert "_records" in Fetcher.__init__.__code__.co_names
    assert ClusterMetadata().unauthorized_topics == set()
    assert "_client" in AIOKafkaConsumer.__init__.__code__.co_names
