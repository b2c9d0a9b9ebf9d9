"""A backlog of fines that waits in Kafka is worked off in memory that does not grow with it."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from tests.bench.ledgers import BALANCES
from tests.faults.backlog import Backlog
from tests.faults.members import PROGRAM
from tests.faults.network import Network, black_hole, drop, latency
from tests.faults.operator import until_named
from tests.faults.stage import Stage
from tests.support.topic_rights import allow_writing, deny_writing

FEW, MANY, MILLION = 15_000, 100_000, 1_000_000
# As an operator starts it: what is forked has imported more than it needs.
UNFORKED = "tests.faults.unforked"


@pytest.mark.parametrize(
    ("count", "processes"),
    [
        pytest.param(FEW, 1, marks=pytest.mark.fault("backlog")),
        pytest.param(
            MANY, 2, marks=[pytest.mark.fault("backlog-processes", processes=2), pytest.mark.slow]
        ),
        pytest.param(MILLION, 1, marks=pytest.mark.slow),
        pytest.param(MILLION, 2, marks=pytest.mark.slow),
    ],
)
async def test_a_backlog_is_worked_off_in_memory_that_does_not_grow_with_it(
    stage: Stage, count: int, processes: int
) -> None:
    stage.row.processes = max(stage.row.processes, processes)
    backlog = Backlog(stage, count)
    await backlog.put()
    await stage.start("one", module=PROGRAM if count == FEW else UNFORKED)
    await backlog.until_sent()
    await backlog.finish()


@pytest.mark.slow
@pytest.mark.parametrize(
    "count",
    [pytest.param(MANY, marks=pytest.mark.fault("backlog-servers-disturbed")), MILLION],
)
async def test_a_slow_database_and_a_stopped_broker_do_not_bring_a_backlog_into_memory(
    network: Network, count: int
) -> None:
    """PostgreSQL answers after a second; then Kafka takes no connection, and then it is silent."""
    stage, kafka = network.stage, network.proxy("kafka")
    backlog = Backlog(stage, count)
    await backlog.put()
    await stage.start("one", module=UNFORKED)
    await backlog.until_sent(count // 5)
    backlog.require_waiting()
    await latency(stage, network.postgres)
    await backlog.until_sent(2 * count // 5)
    backlog.require_waiting()
    await drop(stage, kafka)
    await backlog.until_sent(3 * count // 5)
    backlog.require_waiting()
    await black_hole(stage, kafka)
    await backlog.until_sent()
    await backlog.finish()


@pytest.mark.slow
@pytest.mark.parametrize(
    "count",
    [pytest.param(MANY, marks=pytest.mark.fault("backlog-not-writable")), MILLION],
)
async def test_events_that_cannot_be_sent_wait_in_the_database_and_not_in_memory(
    stage: Stage, kafka_admin: AdminClient, count: int
) -> None:
    """The fines are applied all the same; the events go out when the topic may be written again."""
    backlog = Backlog(stage, count)
    await backlog.put()
    topic = stage.site.topic(BALANCES)
    await asyncio.to_thread(deny_writing, kafka_admin, topic)
    stage.row.count("right to write taken away")
    await stage.start("one", module=UNFORKED)
    await backlog.until_applied(count)
    await until_named(stage, "output_topics", topic)
    assert (await backlog.sample()).sent == 0
    await asyncio.to_thread(allow_writing, kafka_admin, topic)
    await backlog.until_sent()
    await backlog.finish()
