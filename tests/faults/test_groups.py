"""The consumer group is never at rest, or is gone, under load."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from service.kafka.topics import INPUTS
from tests.faults.stage import (
    MANY_EVENTS,
    MANY_IN_FLIGHT,
    PARTITIONS,
    PROGRESS_SECONDS_MAX,
    Stage,
)
from tests.support.load_events import lines_of, take_all
from tests.support.members import remove_members
from tests.support.topics import SECONDS_MAX, forget_group

VISITS = 6
STAYS_SECONDS = (2, 5)


def grow(admin: AdminClient, stage: Stage, partitions: int) -> None:
    """Each input topic gets more partitions."""
    more = [NewPartitions(stage.site.topic(name), partitions) for name in INPUTS]
    for future in admin.create_partitions(more, operation_timeout=SECONDS_MAX).values():
        future.result(SECONDS_MAX)


@pytest.mark.slow
@pytest.mark.fault("rebalance-storm")
async def test_members_come_and_go_while_partitions_are_added(
    stage: Stage, kafka_admin: AdminClient
) -> None:
    """Every few seconds one more instance joins, and leaves by SIGTERM or SIGKILL. The second half
    of the load lies in the new partitions as well.
    """
    random = Random(11)
    stage.in_flight_min = MANY_IN_FLIGHT
    await stage.start("stays")
    count = PARTITIONS

    async def storm() -> None:
        nonlocal count
        for visit in range(VISITS):
            name = f"visitor-{count}-{visit}"
            stage.row.count("member that joins and leaves")
            await stage.start(name)
            await stage.lasts(random.uniform(*STAYS_SECONDS))
            if visit == VISITS // 2:
                count += 2
                stage.row.count("topic that grows", len(INPUTS))
                await asyncio.to_thread(grow, kafka_admin, stage, count)
            member = stage.members.pop(name)
            if random.random() < 0.5:
                await member.kill()
            else:
                assert await member.stop() == 0

    first = stage.load.first_half(MANY_EVENTS // 2)
    take_all(stage.model, first)
    await stage.pass_through(first, storm, PROGRESS_SECONDS_MAX)
    manifests = await stage.export([])
    stage.publish_to(count)
    batches = {name: manifest for name, _, manifest in lines_of(manifests)}
    second = stage.load.second_half(MANY_EVENTS // 2, stage.model, batches)
    take_all(stage.model, second)
    await stage.pass_through(second, storm, PROGRESS_SECONDS_MAX)
    await stage.export(manifests)
    await stage.judge()


@pytest.mark.slow
@pytest.mark.fault("group-deleted")
async def test_a_group_that_was_deleted_is_continued_from_the_database(
    stage: Stage, kafka_admin: AdminClient, bootstrap_servers: str
) -> None:
    """A group with members cannot be deleted: the instances are killed, and started again."""
    names = ("one", "two")
    stage.in_flight_min = MANY_IN_FLIGHT
    await stage.start(*names)

    async def deleted() -> None:
        stage.row.count("group deleted")
        for name in names:
            await stage.members[name].kill()
        await remove_members(bootstrap_servers, stage.site.group)
        await asyncio.to_thread(forget_group, kafka_admin, stage.site.group)
        for name in names:
            await stage.members[name].start()

    await stage.under_load(deleted, MANY_EVENTS)
