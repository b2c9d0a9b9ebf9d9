"""The intake on a real broker and database: each record once, whatever happens in between."""

from collections.abc import Iterable

import pytest

from service.apply.applier import Applier
from service.consumer.group import Source
from service.consumer.loop import Intake
from service.core.events import Incoming, Rejection
from service.core.ledger import Origin
from service.database.session import Pool
from service.messages.decode import parse
from service.restore.guard import Guard
from service.settings.access import KafkaAccess
from tests.support.intaking import (
    FINE,
    QUICK,
    SHORT,
    Failing,
    MakeIntake,
    check_each_once,
    count,
    fines,
    holds,
    offsets,
    ready,
    running,
)
from tests.support.mixed_headers import produce_mixed
from tests.support.topics import end_offsets, produce, produce_in_transaction
from tests.support.waiting import until


async def test_every_record_is_applied_once_and_its_offset_moves_with_it(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    produce(bootstrap_servers, topic, fines(range(3_000)))
    async with running(make_intake(QUICK.model_copy(update={"poll_records_max": 500}))):
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


@pytest.mark.fault("malformed-records")
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
        result = await connection.fetch("SELECT fine_id FROM fine")
    assert {row["fine_id"] for row in result} == {
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
    intake = Intake(guard, access, source, failing, applier, QUICK, pauses=SHORT)
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
    async with running(
        make_intake(QUICK.model_copy(update={"poll_records_max": 100}), path=failing)
    ):
        await until(holds(pool, 500))
    assert (failing.before, failing.after) == (0, 0)
    await check_each_once(pool, 500)
