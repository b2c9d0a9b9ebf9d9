"""Members of the group come and go, and partitions and sessions with them."""

import contextlib
from collections.abc import Awaitable, Callable

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from service.apply.applier import Applier
from service.database.session import Pool
from service.runtime.telemetry import Metrics
from service.settings.parts import IntakeLimits
from tests.support.intaking import (
    SECONDS_MAX,
    Failing,
    MakeIntake,
    check_each_once,
    count,
    fines,
    holds,
    holds_if_available,
    offsets,
    ready,
    running,
    says,
)
from tests.support.topics import (
    create_topic,
    delete_topic,
    end_offsets,
    produce,
    until_shown,
)
from tests.support.waiting import until


async def test_sessions_that_the_database_ends_lose_and_double_nothing(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    intake = make_intake(IntakeLimits(poll_records_max=50))
    async with running(intake):
        for start in range(0, 1_000, 100):
            produce(bootstrap_servers, topic, fines(range(start, start + 100)))
            with contextlib.suppress(Exception):  # our own session may be one of them
                await pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        await until(lambda: holds_if_available(pool, 1_000))
    await check_each_once(pool, 1_000)


async def test_members_come_and_go_and_every_record_is_applied_once(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    limits = IntakeLimits(poll_records_max=20, poll_wait_ms=20)
    first, second = make_intake(limits), make_intake(limits)
    async with running(first):
        produce(bootstrap_servers, topic, fines(range(1_000)))
        async with running(second):
            await until(lambda: ready(first))
            await until(lambda: ready(second))
            produce(bootstrap_servers, topic, fines(range(1_000, 2_000)))
            assert first.partitions + second.partitions == 4
        produce(bootstrap_servers, topic, fines(range(2_000, 2_500)))
        await until(holds(pool, 2_500))
    await check_each_once(pool, 2_500)
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_a_stale_owner_is_fenced_and_loads_its_offsets_again(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    intake = make_intake()
    async with running(intake):
        await until(lambda: ready(intake))
        async with pool.acquire() as connection:
            await connection.execute("UPDATE consumer_offset SET owner_epoch = owner_epoch + 1")
        produce(bootstrap_servers, topic, fines(range(100)))
        await until(holds(pool, 100))
    await check_each_once(pool, 100)
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT min(owner_epoch) FROM consumer_offset") >= 3


async def test_new_partitions_are_read_from_their_start(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    intake = make_intake(latest=True)
    async with running(intake):
        await until(lambda: ready(intake))
        kafka_admin.create_partitions([NewPartitions(topic, 8)])[topic].result(SECONDS_MAX)
        until_shown(kafka_admin, topic, 8)
        produce(bootstrap_servers, topic, fines(range(400)))
        await until(holds(pool, 400))
        assert intake.partitions == 8


async def test_it_is_ready_when_offsets_of_an_assignment_are_loaded(
    make_intake: MakeIntake,
) -> None:
    intake = make_intake()
    assert intake.problem() == "not in the consumer group"
    async with running(intake):
        await until(lambda: ready(intake))
        assert (intake.partitions, intake.problem()) == (4, None)
    assert intake.problem() == "not in the consumer group"


async def test_the_gauges_of_a_topic_tell_its_partitions_and_what_the_database_lacks(
    pool: Pool, topic: str, make_intake: MakeIntake, applier: Applier, bootstrap_servers: str
) -> None:
    metrics, failing = Metrics(), Failing(applier, before=1_000_000, after=0)
    labels = {"topic": topic}

    def shown(partitions: int, lag: int) -> Callable[[], Awaitable[bool]]:
        async def is_ready() -> bool:
            sample = metrics.registry.get_sample_value
            result = (
                sample("bursar_topic_partitions", labels),
                sample("bursar_topic_lag_records", labels),
            )
            return result == (partitions, lag)

        return is_ready

    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake(path=failing, metrics=metrics)):
        await until(shown(4, 100))
        failing.before = 0
        await until(shown(4, 0))
        assert await count(pool) == 100
    assert await shown(0, 0)()


HINT = "is BURSAR_TOPIC_PREFIX right?"


async def test_it_waits_for_a_topic_that_does_not_exist_yet(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    delete_topic(kafka_admin, topic)
    intake = make_intake()
    async with running(intake):
        await until(lambda: says(intake, f"the cluster does not have {topic}: {HINT}"))
        create_topic(kafka_admin, topic, 4)
        produce(bootstrap_servers, topic, fines(range(10)))
        await until(holds(pool, 10))
