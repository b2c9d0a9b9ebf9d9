"""Three brokers, of which one is killed, each is restarted, or two are gone, under load.

Each topic has three copies, and a record counts as written when two brokers have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from service.kafka.topics import INPUTS, OUTPUTS
from tests.faults.operator import problems, until_well
from tests.faults.report import Row
from tests.faults.stage import MANY_EVENTS, MANY_IN_FLIGHT, PARTITIONS, Stage, staged
from tests.support.services.cache import tools
from tests.support.services.cluster import BROKERS, LocalCluster, start_cluster

SECONDS_MAX = 30
OUTAGE_SECONDS = 15
NAMES = ("one", "two")
# One worker has them all, and with them the cluster.
pytestmark = pytest.mark.xdist_group("three brokers")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """For the rows of this module, one after the other."""
    cluster = start_cluster(tools(lambda _: None))
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
async def clustered(
    row: Row, database_url: str, cluster: LocalCluster, tmp_path: Path
) -> AsyncIterator[Stage]:
    """A stage on the cluster, with two instances at work."""
    await asyncio.to_thread(cluster.start)  # whatever the row before has left
    async with staged(row, database_url, cluster.bootstrap_servers(), tmp_path) as stage:
        stage.in_flight_min = MANY_IN_FLIGHT
        copies = ("--partitions", str(PARTITIONS), "--replication", str(BROKERS))
        await stage.site.command("topics", "create", *copies)
        await stage.start(*NAMES)
        yield stage


async def whole_again(cluster: LocalCluster) -> None:
    """All brokers run, and each partition has all its copies."""
    await asyncio.to_thread(cluster.start)
    await asyncio.to_thread(cluster.until_in_sync)


def durability(cluster: LocalCluster, topic: str) -> dict[str, str | None]:
    """The settings of a topic that say when a record may be lost, as the brokers have them."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers(), "log_level": 0})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(SECONDS_MAX)
    names = ("min.insync.replicas", "unclean.leader.election.enable")
    return {name: entries[name].value for name in names}


@pytest.mark.slow
@pytest.mark.fault("broker-killed")
async def test_a_broker_that_is_killed_loses_and_doubles_nothing(
    clustered: Stage, cluster: LocalCluster
) -> None:
    """The work goes on with the two that are left; another one is killed in the second half."""
    brokers = iter(cluster.brokers)

    async def killed() -> None:
        clustered.row.count("SIGKILL of a broker")
        await asyncio.to_thread(next(brokers).kill)
        await clustered.until_progress()
        await whole_again(cluster)

    await clustered.under_load(killed, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("broker-restarted")
async def test_a_broker_that_is_restarted_loses_and_doubles_nothing(
    clustered: Stage, cluster: LocalCluster
) -> None:
    brokers = iter(cluster.brokers)

    async def restarted() -> None:
        clustered.row.count("restart of a broker")
        await asyncio.to_thread(next(brokers).stop)
        await clustered.until_progress()
        await whole_again(cluster)

    await clustered.under_load(restarted, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("brokers-restarted-in-turn")
async def test_brokers_that_are_restarted_in_turn_lose_and_double_nothing(
    clustered: Stage, cluster: LocalCluster
) -> None:
    """As an operator installs another version of Kafka; the instances stay ready at the end."""

    async def restarted() -> None:
        clustered.row.count("restart of a broker", BROKERS)
        await asyncio.to_thread(cluster.restart_in_turn)

    await clustered.under_load(restarted, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("two-brokers-gone")
async def test_with_two_brokers_gone_everything_waits_and_resumes_by_itself(
    clustered: Stage, cluster: LocalCluster
) -> None:
    """What is left has no quorum, and no record has two copies: nothing may count as written.

    When the two are back, the third one leads every partition. So another one is left in the second
    half, and what it does not lead has no leader.
    """
    for contract in (*INPUTS, *OUTPUTS):
        assert durability(cluster, clustered.site.topic(contract)) == {
            "min.insync.replicas": "2",
            "unclean.leader.election.enable": "false",
        }

    left = iter((cluster.brokers[0], cluster.brokers[2]))

    async def gone() -> None:
        clustered.row.count("SIGKILL of a broker", 2)
        survivor = next(left)
        for broker in cluster.brokers:
            if broker is not survivor:
                await asyncio.to_thread(broker.kill)
        await clustered.until(lambda: are_named(clustered), SECONDS_MAX)
        await clustered.lasts(OUTAGE_SECONDS)
        await whole_again(cluster)
        await until_well(clustered)

    await clustered.under_load(gone, MANY_EVENTS)


async def are_named(stage: Stage) -> bool:
    """Each instance says that brokers, or partitions of theirs, do not answer, or that it could not
    join the group before they went.
    """
    for name in NAMES:
        failing = await problems(stage, name)
        if not failing.keys() & {"kafka", "topics", "intake"}:
            return False
    return True
