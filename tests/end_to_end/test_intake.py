"""The intake on a real broker and database: each record once, whatever happens in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from service.apply.applier import Applier
from service.apply.outputs import Outputs
from service.apply.poll import Poll, Report
from service.consumer.loop import Intake, IntakeLimits, Source
from service.core.events import Incoming, Rejection
from service.core.ledger import Origin
from service.database.ledger_store import LedgerStore
from service.database.session import Pool, create_pool
from service.kafka.clients import GroupTimes, KafkaAccess
from service.kafka.stops import OlderDatabase, OtherHistory, RecordsGone
from service.messages import parse
from service.restore.guard import Guard
from service.runtime.telemetry import Metrics
from tests.support.guards import Unguarded, opened_guard
from tests.support.inputs import fine_created, structured
from tests.support.mixed_headers import produce_mixed
from tests.support.topics import (
    commit_group,
    create_topic,
    delete_records,
    delete_topic,
    end_offsets,
    produce,
    produce_in_transaction,
)

FINE = "fine-created.v1"
QUICK = IntakeLimits(
    poll_wait_ms=50,
    lag_seconds_max=1,
    commit_interval_ms=20,
    backoff_first_ms=20,
    backoff_ms_max=200,
)
TIMES = GroupTimes(session_timeout_ms=6_000, heartbeat_interval_ms=200, rebalance_timeout_ms=6_000)
SECONDS_MAX = 60

MakeIntake = Callable[..., Intake]
Running = Callable[[Intake], contextlib.AbstractAsyncContextManager[asyncio.Event]]


class Failing:
    """The real write path, behind faults: before it applies, and after it has."""

    def __init__(self, applier: Applier, before: int, after: int) -> None:
        self._applier = applier
        self.before = before
        self.after = after

    async def apply(self, poll: Poll) -> Report:
        if self.before:
            self.before -= 1
            raise TimeoutError
        report = await self._applier.apply(poll)
        if self.after:
            self.after -= 1
            raise TimeoutError
        return report


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
def topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    settings = {"max.message.bytes": "12000000"}
    return create_topic(kafka_admin, topic_prefix + FINE, 4, settings)


@pytest.fixture
def applier(pool: Pool, topic_prefix: str) -> Applier:
    outputs = Outputs(
        f"{topic_prefix}balance-changed.v1",
        f"{topic_prefix}loan-closed.v1",
        f"{topic_prefix}rejected.v1",
        "/test",
    )
    return Applier(Unguarded(pool), LedgerStore(parse), outputs)


@pytest.fixture
def access(bootstrap_servers: str) -> KafkaAccess:
    return KafkaAccess(bootstrap_servers, request_timeout_ms=3_000, metadata_max_age_ms=1_000)


@pytest.fixture
async def guard(pool: Pool, access: KafkaAccess, topic: str, group_id: str) -> Guard:
    """Of the process in which all intakes of a test run."""
    return await opened_guard(pool, access, group_id, inputs=[topic])


@pytest.fixture
async def make_intake(
    guard: Guard, access: KafkaAccess, topic: str, group_id: str, applier: Applier
) -> AsyncIterator[MakeIntake]:
    made: list[Intake] = []

    def make(
        limits: IntakeLimits = QUICK,
        latest: bool = False,
        path: Applier | Failing = applier,
        times: GroupTimes = TIMES,
        metrics: Metrics | None = None,
    ) -> Intake:
        source = Source(group_id, {topic: FINE}, latest)
        made.append(Intake(guard, access, source, parse, path, limits, times, metrics))
        return made[-1]

    yield make
    for intake in made:
        await intake.close()


@contextlib.asynccontextmanager
async def running(*intakes: Intake) -> AsyncIterator[asyncio.Event]:
    """They run meanwhile, and must have stopped by themselves in the end."""
    stop = asyncio.Event()
    runs = [run for intake in intakes for run in (intake.run, intake.contact.run)]
    tasks = [asyncio.create_task(run(stop)) for run in runs]
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*tasks)


def fines(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    for number in numbers:
        fine = fine_created(
            fine_id=f"F-{number}", patron={**PATRON, "patron_id": f"P-{number % 50}"}
        )
        yield b"%d" % number, structured(FINE, fine)[0]


PATRON: dict[str, object] = {
    "patron_id": "P",
    "name": "Doe, Jane",
    "user_group": "STUDENT",
    "identifiers": [],
}


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110 - the other side is a broker and a database
            await asyncio.sleep(0.01)


async def count(pool: Pool, table: str = "fine") -> int:
    async with pool.acquire() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return found


def holds(pool: Pool, wanted: int, table: str = "fine") -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await count(pool, table) == wanted

    return look


async def offsets(pool: Pool) -> dict[int, int]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT partition, next_offset FROM consumer_offset")
    return {row[0]: row[1] for row in rows}


async def check_each_once(pool: Pool, wanted: int) -> None:
    """One fine, one transaction, each; nothing recognised as a repeat is counted twice."""
    assert await count(pool) == wanted
    assert await count(pool, "ledger_transaction") == wanted


async def test_every_record_is_applied_once_and_its_offset_moves_with_it(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(3_000)))
    async with running(make_intake(IntakeLimits(poll_records_max=500))):
        await until(holds(pool, 3_000))
        produce(bootstrap_servers, topic, fines(range(3_000, 3_100)))
        await until(holds(pool, 3_100))
    await check_each_once(pool, 3_100)
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_another_process_goes_on_where_the_database_says(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(200)))
    async with running(make_intake()):
        await until(holds(pool, 200))
    produce(bootstrap_servers, topic, fines(range(200, 300)))
    async with running(make_intake(latest=True)):  # that choice is for unknown topics alone
        await until(holds(pool, 300))
    await check_each_once(pool, 300)


async def test_an_unknown_topic_may_start_at_its_end(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    intake = make_intake(latest=True)
    async with running(intake):
        await until(lambda: ready(intake))
        produce(bootstrap_servers, topic, fines(range(100, 150)))
        await until(holds(pool, 50))
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_bad_records_and_ten_megabytes_are_rejected_and_stop_nobody(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(50)))
    bad = [(b"k", b"not json"), (None, None), (b"k", b"\x00"), (b"k", b"x" * 10_000_000)]
    produce(bootstrap_servers, topic, bad)
    produce(bootstrap_servers, topic, fines(range(50, 100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
        await until(holds(pool, len(bad), "rejected"))
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_records_of_every_compression_are_read(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    for place, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        produce(bootstrap_servers, topic, fines(range(place * 20, place * 20 + 20)), codec=codec)
    async with running(make_intake()):
        await until(holds(pool, 100))
    assert await count(pool, "rejected") == 0


async def test_a_transaction_of_the_writer_counts_once_it_is_committed_and_never_if_aborted(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    def write(numbers: Iterable[int], aborted: bool) -> None:
        produce_in_transaction(bootstrap_servers, topic, fines(numbers), topic, aborted)

    write(range(50), aborted=True)
    write(range(50, 100), aborted=False)
    write(range(100, 150), aborted=True)
    async with running(make_intake()):
        await until(holds(pool, 50))
    write(range(150, 200), aborted=False)
    async with running(make_intake()):  # it goes on behind a transaction that was aborted
        await until(holds(pool, 100))
    async with pool.acquire() as connection:
        found = await connection.fetch("SELECT fine_id FROM fine")
    assert {row["fine_id"] for row in found} == {
        f"F-{n}" for n in (*range(50, 100), *range(150, 200))
    }


async def test_a_record_the_client_cannot_hand_out_is_rejected_and_stops_nobody(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(50)))
    for _ in range(2):
        await produce_mixed(bootstrap_servers, topic, 2, [(b"k", b"v", True)])
    produce(bootstrap_servers, topic, fines(range(50, 100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
        await until(holds(pool, 2, "rejected"))
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_a_record_on_which_the_reading_fails_is_parked_and_stops_nobody(
    pool: Pool,
    guard: Guard,
    access: KafkaAccess,
    topic: str,
    group_id: str,
    applier: Applier,
    bootstrap_servers: str,
) -> None:
    def failing(contract: str, origin: Origin) -> Incoming | Rejection:
        if b'"F-13"' in (origin.value or b""):
            raise ZeroDivisionError
        return parse(contract, origin)

    produce(bootstrap_servers, topic, fines(range(200)))
    source = Source(group_id, {topic: FINE})
    intake = Intake(guard, access, source, failing, applier, QUICK, TIMES)
    async with running(intake):
        await until(holds(pool, 199))
        await until(holds(pool, 1, "parked_error"))
    row = await pool.fetchrow("SELECT institution_id, error, record_value FROM parked_error")
    assert row is not None
    assert (row["institution_id"], row["error"]) == ("6050", "ZeroDivisionError")
    assert await offsets(pool) == end_offsets(bootstrap_servers, topic)


async def test_a_failed_poll_is_read_again_whether_it_was_committed_or_not(
    pool: Pool, topic: str, make_intake: MakeIntake, applier: Applier, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(500)))
    failing = Failing(applier, before=2, after=2)
    async with running(make_intake(IntakeLimits(poll_records_max=100), path=failing)):
        await until(holds(pool, 500))
    assert (failing.before, failing.after) == (0, 0)
    await check_each_once(pool, 500)


async def test_sessions_that_the_database_ends_lose_and_double_nothing(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    intake = make_intake(IntakeLimits(poll_records_max=50, backoff_first_ms=10))
    async with running(intake):
        for start in range(0, 1_000, 100):
            produce(bootstrap_servers, topic, fines(range(start, start + 100)))
            with contextlib.suppress(Exception):  # our own session may be one of them
                await pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        await until(lambda: holds_or_away(pool, 1_000))
    await check_each_once(pool, 1_000)


async def test_members_come_and_go_and_every_record_is_applied_once(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    limits = IntakeLimits(poll_records_max=20, poll_wait_ms=20, backoff_first_ms=10)
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
        produce(bootstrap_servers, topic, fines(range(400)))
        await until(holds(pool, 400))
        assert intake.partitions == 8


async def test_a_topic_made_anew_with_more_records_is_another_history(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    delete_topic(kafka_admin, topic)
    create_topic(kafka_admin, topic, 4)
    produce(bootstrap_servers, topic, fines(range(1_000, 1_500)))
    with pytest.raises(OtherHistory, match="made anew"):
        await run_until_it_stops(make_intake())
    await check_each_once(pool, 100)


async def test_a_topic_made_anew_with_fewer_records_is_another_history(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    delete_topic(kafka_admin, topic)
    create_topic(kafka_admin, topic, 4)
    with pytest.raises(OtherHistory, match="cut or made anew"):
        await run_until_it_stops(make_intake())


async def test_records_deleted_before_they_were_read_stop_the_service(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    produce(bootstrap_servers, topic, fines(range(100, 300)))
    delete_records(
        kafka_admin,
        topic,
        {at: end - 1 for at, end in end_offsets(bootstrap_servers, topic).items()},
    )
    with pytest.raises(RecordsGone, match="deleted before they were read"):
        await run_until_it_stops(make_intake())
    await check_each_once(pool, 100)


async def test_an_anchor_deleted_by_retention_stops_nobody(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    make_intake: MakeIntake,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    delete_records(kafka_admin, topic, end_offsets(bootstrap_servers, topic))
    produce(bootstrap_servers, topic, fines(range(100, 200)))
    async with running(make_intake()):
        await until(holds(pool, 200))
    await check_each_once(pool, 200)


async def test_a_group_ahead_of_the_database_tells_of_an_older_backup(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    async with pool.acquire() as connection:
        await connection.execute("UPDATE consumer_offset SET next_offset = next_offset - 1")
    with pytest.raises(OlderDatabase, match="restore-check"):
        await run_until_it_stops(make_intake())


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
    never = IntakeLimits(poll_wait_ms=50, commit_interval_ms=10_000_000)
    intake = make_intake(never)
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
        async def look() -> bool:
            sample = metrics.registry.get_sample_value
            found = (
                sample("bursar_topic_partitions", labels),
                sample("bursar_topic_lag_records", labels),
            )
            return found == (partitions, lag)

        return look

    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake(path=failing, metrics=metrics)):
        await until(shown(4, 100))
        failing.before = 0
        await until(shown(4, 0))
        assert await count(pool) == 100
    assert await shown(0, 0)()


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
        await until(lambda: says(intake, f"the cluster does not have {topic}"))
        create_topic(kafka_admin, topic, 4)
        produce(bootstrap_servers, topic, fines(range(10)))
        await until(holds(pool, 10))


async def ready(intake: Intake) -> bool:
    return intake.problem() is None


async def says(intake: Intake, text: str) -> bool:
    return intake.problem() == text


async def holds_or_away(pool: Pool, wanted: int) -> bool:
    try:
        return await count(pool) == wanted
    except Exception:  # noqa: BLE001 - a session that was ended; the next look has another
        return False


async def run_until_it_stops(intake: Intake) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        await intake.run(asyncio.Event())
