"""An input topic that is gone, or that nobody reads: readiness names it, the others are read on.

tests/unit/test_named_in_time.py measures how soon, in a time that is made up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from confluent_kafka.admin import AdminClient

from service.consumer.group import IntakePauses, Source
from service.consumer.loop import Intake
from service.kafka.clients import close_client
from service.messages.decode import parse
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits
from tests.support import inputs
from tests.support.guards import opened_guard
from tests.support.process import Site
from tests.support.topics import create_topic, delete_topic, produce
from tests.support.waiting import until
from tests.support.write_path import write_path

FINE, PAYMENT = "fine-created.v1", "bursar-payment.v1"
SECONDS_MAX = 60


async def readiness(site: Site) -> tuple[int, str | None]:
    """Status of /readyz, and what the check of the topics says."""
    status, body = await site.page("/readyz")
    return status, json.loads(body)["checks"]["topics"]["problem"]


async def until_ready(site: Site, problem: str | None) -> None:
    wanted = (200 if problem is None else 503, problem)

    async def is_so() -> bool:
        return await readiness(site) == wanted

    await site.until(is_so, SECONDS_MAX)


def send(site: Site, contract: str, data: dict[str, object]) -> None:
    produce(site.servers, site.topic(contract), [(b"key", inputs.structured(contract, data)[0])])


async def test_a_topic_that_is_gone_is_named_and_read_again_when_it_is_back(
    site: Site, kafka_admin: AdminClient
) -> None:
    await site.command("topics", "create", "--partitions", "3")
    await site.start()
    await until_ready(site, None)
    topic = site.topic(PAYMENT)
    await asyncio.to_thread(delete_topic, kafka_admin, topic)
    await until_ready(site, f"the cluster does not have {topic}")

    async def is_counted() -> bool:
        return (
            f'bursar_topic_partitions_unread{{topic="{topic}"}} 1.0'
            in (await site.page("/metrics"))[1]
        )

    await site.until(is_counted, SECONDS_MAX)
    send(site, FINE, inputs.fine_created())
    await site.until_idle(1)  # the other topics are read meanwhile
    await asyncio.to_thread(create_topic, kafka_admin, topic, 3)
    await until_ready(site, None)
    send(site, PAYMENT, inputs.bursar_payment(bursar_transaction_id=inputs.ABSENT))
    await site.until_idle(2)

    def logged() -> list[object]:
        return [line["event"] for line in site.log() if "topics_" in str(line["event"])]

    async def is_logged() -> bool:
        return len(logged()) == 2

    await site.until(is_logged, SECONDS_MAX)
    await site.stop()
    assert logged() == ["topics_not_read", "topics_read"]
    (line,) = (line for line in site.log() if line["event"] == "topics_not_read")
    assert (line["level"], line["problem"]) == ("error", f"the cluster does not have {topic}")


async def test_a_topic_is_missing_from_the_start(site: Site, kafka_admin: AdminClient) -> None:
    await site.command("topics", "create", "--partitions", "3")
    topic = site.topic(PAYMENT)
    await asyncio.to_thread(delete_topic, kafka_admin, topic)
    await site.start()
    await until_ready(site, f"the cluster does not have {topic}")
    metrics = (await site.page("/metrics"))[1]
    assert f'bursar_rejected_total{{reason="overpaid",topic="{topic}"}} 0.0' in metrics
    send(site, FINE, inputs.fine_created())
    await site.until_idle(1)
    await site.stop()


class ForgetfulAssignor(StickyPartitionAssignor):  # type: ignore[misc]  # the client has no types
    """A leader that gives the payments to nobody."""

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        return {
            name: ConsumerProtocolMemberAssignment(
                0, [pair for pair in given.assignment if not pair[0].endswith(PAYMENT)], b""
            )
            for name, given in super().assign(cluster, members).items()
        }


@contextlib.asynccontextmanager
async def forgetful_leader(
    servers: str, group_id: str, topics: list[str]
) -> AsyncIterator[AIOKafkaConsumer]:
    leader = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        group_id=group_id,
        enable_auto_commit=False,
        partition_assignment_strategy=(ForgetfulAssignor,),
        heartbeat_interval_ms=200,
    )
    await leader.start()
    try:
        yield leader
    finally:
        await close_client(leader)


@pytest.fixture
async def topics(kafka_admin: AdminClient, topic_prefix: str) -> dict[str, str]:
    """The contract of each topic."""
    return {create_topic(kafka_admin, topic_prefix + name, 4): name for name in (FINE, PAYMENT)}


async def test_a_topic_that_nobody_in_the_group_reads_is_named(
    database_url: str, bootstrap_servers: str, group_id: str, topics: dict[str, str]
) -> None:
    payments = next(topic for topic in topics if topic.endswith(PAYMENT))
    stop = asyncio.Event()
    async with write_path(database_url) as path:
        access = KafkaAccess(
            kafka_bootstrap_servers=bootstrap_servers, kafka_metadata_max_age_ms=1_000
        )
        intake = Intake(
            await opened_guard(path.pool, access, group_id, inputs=list(topics)),
            access,
            Source(group_id, topics),
            parse,
            path.applier,
            IntakeLimits(
                poll_wait_ms=50, kafka_session_timeout_ms=6_000, kafka_heartbeat_interval_ms=200
            ),
            pauses=IntakePauses(coverage_interval_ms=100),
        )

        async def until_problem(problem: str | None) -> None:
            await until(lambda: intake.problem() == problem)

        async with forgetful_leader(bootstrap_servers, group_id, sorted(topics)):
            running = asyncio.create_task(intake.run(stop))
            await until_problem(f"nobody in the group reads all of {payments}")
        await until_problem(None)
        stop.set()
        await running
