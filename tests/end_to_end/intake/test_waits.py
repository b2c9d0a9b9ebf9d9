"""A rival holds the account of one record: its partition waits, and all the others are read on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from service.apply.applier import Applier
from service.consumer import joining
from service.consumer.group import Source
from service.consumer.loop import Intake
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.database.session import Pool, create_pool
from service.kafka.clients import new_consumer
from service.messages.decode import parse
from service.runtime.telemetry import Metrics
from service.settings.access import DatabaseLimits, KafkaAccess
from service.settings.parts import IntakeLimits
from tests.support.guards import Unguarded, opened_guard
from tests.support.inputs import fine_created, structured
from tests.support.intaking import QUICK, MakeIntake
from tests.support.topics import create_topic, end_offsets, produce
from tests.support.waiting import until

FINE = "fine-created.v1"
OUTPUTS = Outputs(
    "t.balance-changed.v1", "t.loan-closed.v1", "t.rejected.v1", "t.operator-action.v1", "/test"
)
LOCK_WAIT_MS = 2_000
ROUNDS = 5
# The lock's time is spent once. Spent for each of the tries and halves of each poll, it would be
# two minutes.
ROUNDS_SECONDS_MAX = 30
SECONDS_MAX = 60


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url, DatabaseLimits(database_lock_wait_ms_max=LOCK_WAIT_MS))
    yield pool
    await pool.close()


@pytest.fixture
def topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    return create_topic(kafka_admin, topic_prefix + FINE, 4)


def fines(
    names: Iterable[str], patron_id: str, key: str | None = None
) -> Iterator[tuple[bytes, bytes]]:
    for name in names:
        patron = {"patron_id": patron_id, "name": "D", "user_group": "S", "identifiers": []}
        data = fine_created(fine_id=name, patron=patron)
        yield (key or name).encode(), structured(FINE, data)[0]


async def offsets(pool: Pool) -> dict[int, int]:
    rows = await pool.fetch("SELECT partition, next_offset FROM consumer_offset")
    return {row["partition"]: row["next_offset"] for row in rows}


@contextlib.asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(intake.run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await task


async def check_order(pool: Pool, waiting: list[str]) -> None:
    """The held records were applied in their order."""
    order = await pool.fetch(
        "SELECT fine_id FROM ledger_transaction WHERE patron_id = 'LATE' ORDER BY sequence"
    )
    assert [row["fine_id"] for row in order] == ["L-0", *waiting]


async def test_while_one_account_is_locked_the_other_partitions_are_read_as_usual(
    pool: Pool, topic: str, bootstrap_servers: str, group_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    guard = await opened_guard(pool, access, group_id, inputs=[topic])
    applier, metrics = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS), Metrics()
    source = Source(group_id, {topic: FINE})
    # What is fetched together is cut into several polls; none of them may pass the held record.
    limits = IntakeLimits.model_construct(poll_bytes_max=4_000)
    monkeypatch.setattr(
        joining,
        "new_consumer",
        lambda access, group, _: new_consumer(access, group, IntakeLimits()),
    )
    intake = Intake(guard, access, source, parse, applier, limits, metrics=metrics)

    def gauge(name: str) -> float | None:
        return metrics.registry.get_sample_value(name)

    async def is_read() -> bool:
        return await offsets(pool) == end_offsets(bootstrap_servers, topic)

    async def others_are_read() -> bool:
        ends = end_offsets(bootstrap_servers, topic)
        return await offsets(pool) == ends | {late: 1}

    async def nothing_is_held() -> bool:
        return gauge("bursar_partitions_held") == 0

    produce(bootstrap_servers, topic, fines(["L-0"], "LATE", "late"))
    (late,) = [number for number, end in end_offsets(bootstrap_servers, topic).items() if end]
    async with running(intake):
        await until(is_read)
        async with pool.acquire() as rival, rival.transaction():
            await rival.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await rival.execute("SELECT FROM account WHERE patron_id = 'LATE' FOR UPDATE")
            waiting = [f"L-{number}" for number in range(1, 20)]
            produce(bootstrap_servers, topic, fines(waiting, "LATE", "late"))
            started_ns = time.monotonic_ns()
            for turn in range(ROUNDS):
                names = [f"F-{turn}-{number}" for number in range(100)]
                produce(bootstrap_servers, topic, fines(names, f"P-{turn}"))
                await until(others_are_read, 5 * ROUNDS_SECONDS_MAX)
            assert time.monotonic_ns() - started_ns < ROUNDS_SECONDS_MAX * 1_000_000_000
            assert gauge("bursar_partitions_held") == 1
            assert gauge("bursar_poll_size") == IntakeLimits().poll_records_max
        await until(is_read)
        await until(nothing_is_held)
    await check_order(pool, waiting)
    assert await pool.fetchval("SELECT count(*) FROM fine") == 100 * ROUNDS + 20


async def test_the_size_of_polls_is_known_before_the_first_record(make_intake: MakeIntake) -> None:
    metrics = Metrics()
    make_intake(metrics=metrics)
    size = metrics.registry.get_sample_value("bursar_poll_size")
    assert size == QUICK.poll_records_max
