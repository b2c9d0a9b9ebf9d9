"""The network between the service and its servers fails under load, in each way there is."""

from __future__ import annotations

import pytest

from tests.faults.network import FAULTS, Network
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage

WITH_MEMBERS = ("drop", "black-hole")
RECONNECTS = ("drop", "reset", "half-open")


def rows(server: str) -> list[object]:
    """Each fault, and some of them with instances that are several processes."""
    alone = [pytest.mark.fault(f"network-{server}-{fault}") for fault in FAULTS]
    together = [
        pytest.mark.fault(f"network-{server}-{fault}-processes", processes=2)
        for fault in WITH_MEMBERS
    ]
    return [
        pytest.param(fault, marks=[mark, pytest.mark.slow])
        for fault, mark in zip((*FAULTS, *WITH_MEMBERS), (*alone, *together), strict=True)
    ]


async def through(stage: Stage, proxy: Proxy, fault: str) -> None:
    """Two instances and the load, with the fault in the middle."""
    await stage.start("one", "two")
    accepted = proxy.accepted
    await stage.under_load(lambda: FAULTS[fault](stage, proxy))
    if fault in RECONNECTS:
        assert proxy.accepted > accepted, "the service connected again"


@pytest.mark.parametrize("fault", rows("kafka"))
async def test_kafka_fails_and_nothing_is_lost_or_doubled(network: Network, fault: str) -> None:
    assert network.kafka is not None
    await through(network.stage, network.kafka, fault)


@pytest.mark.parametrize("fault", rows("postgres"))
async def test_postgres_fails_and_nothing_is_lost_or_doubled(
    database_network: Network, fault: str
) -> None:
    await through(database_network.stage, database_network.postgres, fault)
