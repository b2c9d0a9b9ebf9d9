"""Topics that were made anew or cut, and databases that are older than their group."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka.admin import AdminClient

from service.consumer.group import IntakePauses
from service.database.session import Pool
from service.runtime.problems import OlderDatabase, OtherHistory, RecordsGone
from tests.support.intaking import (
    SECONDS_MAX,
    MakeIntake,
    check_each_once,
    fines,
    holds,
    offsets,
    run_until_it_stops,
    running,
)
from tests.support.topics import (
    commit_group,
    create_topic,
    delete_records,
    delete_topic,
    end_offsets,
    produce,
)
from tests.support.waiting import until

A_RIVAL_READS_ON = (
    "UPDATE consumer_offset SET next_offset = next_offset + 10, owner_epoch = owner_epoch + 1,"
    " anchor_offset = NULL"
)
NEXT_OFFSET = "SELECT next_offset FROM consumer_offset WHERE topic = $1 AND partition = $2"


async def test_a_topic_made_anew_with_more_records_is_another_history(
    pool: Pool,
    kafka_admin: AdminClient,
    topic_read: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    delete_topic(kafka_admin, topic_read)
    create_topic(kafka_admin, topic_read, 4)
    produce(bootstrap_servers, topic_read, fines(range(1_000, 1_500)))
    with pytest.raises(OtherHistory, match="made anew"):
        await run_until_it_stops(make_intake())
    await check_each_once(pool, 100)


async def test_a_topic_made_anew_with_fewer_records_is_another_history(
    kafka_admin: AdminClient, topic_read: str, make_intake: MakeIntake
) -> None:
    delete_topic(kafka_admin, topic_read)
    create_topic(kafka_admin, topic_read, 4)
    with pytest.raises(OtherHistory, match="cut or made anew"):
        await run_until_it_stops(make_intake())


async def test_records_deleted_before_they_were_read_stop_the_service(
    pool: Pool,
    kafka_admin: AdminClient,
    topic_read: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic_read, fines(range(100, 300)))
    delete_records(
        kafka_admin,
        topic_read,
        {at: end - 1 for at, end in end_offsets(bootstrap_servers, topic_read).items()},
    )
    with pytest.raises(RecordsGone, match="deleted before they were read"):
        await run_until_it_stops(make_intake())
    await check_each_once(pool, 100)


async def test_an_anchor_deleted_by_retention_stops_nobody(
    pool: Pool,
    kafka_admin: AdminClient,
    topic_read: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    delete_records(kafka_admin, topic_read, end_offsets(bootstrap_servers, topic_read))
    produce(bootstrap_servers, topic_read, fines(range(100, 200)))
    async with running(make_intake()):
        await until(holds(pool, 200))
    await check_each_once(pool, 200)


@pytest.mark.usefixtures("topic_read")
async def test_a_group_ahead_of_the_database_tells_of_an_older_backup(
    pool: Pool, make_intake: MakeIntake
) -> None:
    async with pool.acquire() as connection:
        await connection.execute("UPDATE consumer_offset SET next_offset = next_offset - 1")
    with pytest.raises(OlderDatabase, match="restore-check"):
        await run_until_it_stops(make_intake())


@pytest.mark.usefixtures("topic_read")
async def test_a_rival_that_reads_on_while_the_group_is_asked_is_no_older_backup(
    pool: Pool,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the broker answers late: it then tells what a rival has read in the meantime."""
    produce(bootstrap_servers, topic, fines(range(100, 200)))
    is_asked = asyncio.Event()

    async def committed(consumer: AIOKafkaConsumer, at: TopicPartition) -> int:
        async with pool.acquire() as connection:
            if consumer.assignment() and not is_asked.is_set():  # by who has the partitions now
                is_asked.set()
                await connection.execute(A_RIVAL_READS_ON)
            next_offset: int = await connection.fetchval(NEXT_OFFSET, at.topic, at.partition)
        return next_offset

    monkeypatch.setattr(AIOKafkaConsumer, "committed", committed)
    intake = make_intake()
    async with running(intake):
        await until(lambda: intake.problem() is None)
    assert is_asked.is_set()


async def test_a_group_that_has_read_a_topic_the_database_does_not_know_tells_the_same(
    pool: Pool, topic: str, group_id: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    commit_group(bootstrap_servers, group_id, topic, {0: 1})
    with pytest.raises(OlderDatabase, match="restore-check"):
        await run_until_it_stops(make_intake(latest=True))
    assert await offsets(pool) == {}


async def test_a_database_replaced_under_a_running_service_is_noticed_without_the_group(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    never = IntakePauses(commit_interval_ms=10_000_000)
    intake = make_intake(pauses=never)
    produce(bootstrap_servers, topic, fines(range(100)))
    stop = asyncio.Event()
    task = asyncio.create_task(intake.run(stop))
    await until(holds(pool, 100))
    async with pool.acquire() as connection:
        await connection.execute(
            "UPDATE consumer_offset SET next_offset = 0, owner_epoch = 0, anchor_offset = NULL"
        )
    produce(bootstrap_servers, topic, fines(range(100, 200)))
    with pytest.raises(OlderDatabase, match="restore-check"):
        async with asyncio.timeout(SECONDS_MAX):
            await task
