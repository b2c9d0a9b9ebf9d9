"""The relay on a real broker: in order, nothing lost, refused records set aside, one at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AdminClient

from service.database.outbox import put
from service.database.session import Pool, create_pool
from service.kafka.clients import KafkaAccess
from service.kafka.stops import OlderDatabase
from service.relay.loop import Relay, RelayLimits
from service.relay.outbox import LeaseLost
from tests.support.guards import opened_guard
from tests.support.topics import (
    Read,
    configure_topic,
    create_topic,
    delete_topic,
    produce,
    read_topic,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
QUICK = RelayLimits(
    idle_ms=20,
    lease_retry_ms=20,
    backoff_ms_max=200,
    topic_retry_ms=200,
    shutdown_seconds_max=1,
    status_seconds=1,
)
SECONDS_MAX = 30

MakeRelay = Callable[..., Relay]


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
def topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    return create_topic(kafka_admin, f"{topic_prefix}balance-changed.v1", 3, APPEND_TIME)


@pytest.fixture
async def make_relay(pool: Pool, bootstrap_servers: str, topic: str) -> AsyncIterator[MakeRelay]:
    made: list[Relay] = []
    access = KafkaAccess(bootstrap_servers, request_timeout_ms=2_000)
    guard = await opened_guard(pool, access, outputs=[topic])

    def make(limits: RelayLimits = QUICK) -> Relay:
        made.append(Relay(guard, access, f"relay-{len(made)}", limits))
        return made[-1]

    yield make
    for relay in made:
        await relay.close()


async def queue(pool: Pool, topic: str, records: Sequence[Record], row_bytes: int = 4_000) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await put(connection, topic, records, NOW, row_bytes)


async def until_empty(relay: Relay) -> None:
    """Runs page after page; refusals take more than one."""
    async with asyncio.timeout(SECONDS_MAX):
        while (await relay.status()).rows_waiting:
            await relay.run_once()


def numbered(count: int, keys: int = 7) -> list[Record]:
    return [
        Record(b"1/patron-%d" % (number % keys), b"%06d" % number, (("ce_id", b"%d" % number),))
        for number in range(count)
    ]


def plain(found: Sequence[Read]) -> list[Record]:
    return [Record(read.key, read.value, read.headers) for read in found]


async def test_every_record_arrives_once_and_in_the_order_of_its_key(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    records = numbered(1_000)
    await queue(pool, topic, records)
    relay = make_relay(RelayLimits(page_rows_max=3))
    assert sum([await relay.run_once() for _ in range(20)]) == 1_000
    found = read_topic(bootstrap_servers, topic)
    assert sorted(plain(found), key=lambda record: record.value or b"") == records
    for key in {record.key for record in records}:
        values = [read.value for read in found if read.key == key]
        assert values == sorted(value for value in values if value is not None)
        assert len({read.partition for read in found if read.key == key}) == 1
    assert (await relay.status()).rows_waiting == 0


async def test_keys_lie_where_the_java_producer_would_put_them(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, [Record(b"1/patron-%d" % number, b"x") for number in range(50)])
    await until_empty(make_relay())
    ours = {read.key: read.partition for read in read_topic(bootstrap_servers, topic)}
    produce(bootstrap_servers, topic, iter([(key, b"java") for key in ours]), "murmur2_random")
    theirs = {
        r.key: r.partition for r in read_topic(bootstrap_servers, topic) if r.value == b"java"
    }
    assert ours == theirs


async def test_bytes_are_untouched_and_missing_ones_stay_missing(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    records = [
        Record(b"\x00\xff", b"\xfe\x00", (("a", b"\xff"), ("a", b""), ("ü", b"\x00"))),
        Record(None, b"no key"),
        Record(b"no value", None),
        Record(None, None),
        Record(b"", b""),
    ]
    await queue(pool, topic, records)
    await until_empty(make_relay())
    found = plain(read_topic(bootstrap_servers, topic))
    assert sorted(found, key=repr) == sorted(records, key=repr)


async def test_an_acknowledged_offset_is_kept_for_each_output_partition(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, numbered(100))
    await until_empty(make_relay())
    ends: dict[int, int] = {}
    for read in read_topic(bootstrap_servers, topic):
        ends[read.partition] = read.offset
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT partition, acknowledged_offset FROM output_offset")
    assert {row[0]: row[1] for row in rows} == ends


async def test_a_record_too_large_for_the_broker_is_quarantined_and_the_rest_flows(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", "5000")
    records = numbered(200)
    records[77] = records[77]._replace(value=b"x" * 8_000)
    records[140] = records[140]._replace(value=b"y" * 8_000)
    await queue(pool, topic, records, row_bytes=1_000_000)
    relay = make_relay()
    await until_empty(relay)
    found = sorted(plain(read_topic(bootstrap_servers, topic)), key=lambda read: read.value or b"")
    assert found == [record for record in records if len(record.value or b"") < 8_000]
    async with pool.acquire() as connection:
        quarantined = await connection.fetch("SELECT * FROM outbox_set_aside ORDER BY place")
    assert [(row["place"], row["reason"], row["payload"][:1]) for row in quarantined] == [
        (77, "too_large", b"x"),
        (140, "too_large", b"y"),
    ]
    assert (await relay.status()).quarantined == 2


async def test_batches_that_a_topic_finds_too_large_are_cut_smaller_and_nothing_is_quarantined(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", "30000")
    records = [Record(b"one key", b"%06d" % number + b"x" * 994) for number in range(200)]
    await queue(pool, topic, records, row_bytes=1_000_000)
    relay = make_relay()
    await until_empty(relay)
    assert plain(read_topic(bootstrap_servers, topic)) == records
    assert (await relay.status()).quarantined == 0


async def test_a_record_larger_than_a_request_may_be_is_quarantined_without_asking(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, [Record(b"k", b"x" * 200_000), Record(b"k", b"small")])
    relay = make_relay(RelayLimits(request_bytes_max=100_000))
    await until_empty(relay)
    assert [record.value for record in plain(read_topic(bootstrap_servers, topic))] == [b"small"]
    assert (await relay.status()).quarantined == 1


async def test_a_large_batch_passes_where_the_topic_allows_it(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", str(16 * 1024 * 1024))
    await queue(pool, topic, [Record(b"k", b"x" * 9_000_000), Record(b"k", b"small")])
    await until_empty(make_relay())
    assert [read.value for read in read_topic(bootstrap_servers, topic)] == [
        b"x" * 9_000_000,
        b"small",
    ]


async def test_a_missing_topic_keeps_its_rows_while_others_flow_and_heals_when_it_is_made(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    topic_prefix: str,
    make_relay: MakeRelay,
    bootstrap_servers: str,
) -> None:
    missing = f"{topic_prefix}loan-closed.v1"
    await queue(pool, missing, [Record(b"k", b"waits")])
    await queue(pool, topic, [Record(b"k", b"flows")])
    relay = make_relay()
    assert await relay.run_once() == 1
    assert [read.value for read in read_topic(bootstrap_servers, topic)] == [b"flows"]
    assert (await relay.status()).rows_waiting == 1
    create_topic(kafka_admin, missing)
    await until_empty(relay)
    assert [read.value for read in read_topic(bootstrap_servers, missing)] == [b"waits"]
    assert (await relay.status()).quarantined == 0


async def test_one_relay_sends_and_another_takes_over_when_it_is_gone(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    first, second = make_relay(), make_relay()
    await queue(pool, topic, [Record(b"k", b"1")])
    assert await first.run_once() == 1
    await queue(pool, topic, [Record(b"k", b"2")])
    assert await second.run_once() == 0
    assert (first.holds_lease, second.holds_lease) == (True, False)
    await first.close()
    assert await second.run_once() == 1
    assert [read.value for read in read_topic(bootstrap_servers, topic)] == [b"1", b"2"]


async def test_a_relay_whose_lease_ended_stops_and_deletes_nothing(
    pool: Pool, topic: str, make_relay: MakeRelay
) -> None:
    first, second = make_relay(), make_relay()
    assert await first.run_once() == 0
    assert first.holds_lease
    async with pool.acquire() as connection:
        await connection.execute("UPDATE relay_lease SET expires_at = clock_timestamp()")
    assert await second.run_once() == 0
    assert second.holds_lease
    await queue(pool, topic, [Record(b"k", b"1")])
    with pytest.raises(LeaseLost):
        await first.run_once()
    assert not first.holds_lease
    assert (await second.status()).rows_waiting == 1
    assert await second.run_once() == 1


async def test_a_loop_wakes_for_work_and_stops_when_asked(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    relay, stop = make_relay(RelayLimits(idle_ms=60_000)), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(SECONDS_MAX):
        await until(lambda: relay.holds_lease)
        await queue(pool, topic, numbered(10))
        relay.wake()
        while (await relay.status()).rows_waiting:  # noqa: ASYNC110 - the other side is a broker
            await asyncio.sleep(0.005)
        stop.set()
        await running
    assert len(read_topic(bootstrap_servers, topic)) == 10
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT expires_at <= now() FROM relay_lease")


async def test_a_crash_between_acknowledgement_and_delete_sends_again_what_the_outbox_has(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    records = numbered(20)
    await queue(pool, topic, records)
    await until_empty(make_relay())
    await queue(pool, topic, [Record(b"k", b"late", (("ce_id", b"late-1"),))])
    produce(bootstrap_servers, topic, iter([(b"k", b"late")]), headers=[("ce_id", b"late-1")])
    second = make_relay()
    await expire_lease(pool)
    assert await second.run_once() == 1


async def test_an_output_that_this_database_cannot_explain_stops_the_relay(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, numbered(20))
    await until_empty(make_relay())
    produce(bootstrap_servers, topic, iter([(b"k", b"{}")]), headers=[("ce_id", b"of-a-later-day")])
    await queue(pool, topic, numbered(1))
    await expire_lease(pool)
    second = make_relay()
    with pytest.raises(OlderDatabase, match="restore-check"):
        await second.run_once()
    assert not second.holds_lease
    assert (await second.status()).rows_waiting == 1


async def test_an_output_topic_made_anew_is_no_evidence_and_is_written_from_its_start(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await leave_a_gone_topic(pool, kafka_admin, topic, make_relay())
    create_topic(kafka_admin, topic, 3, APPEND_TIME)
    await until_empty(make_relay())
    await check_written_from_its_start(pool, topic, bootstrap_servers)


async def test_an_output_topic_that_is_gone_at_the_start_and_made_later_is_no_evidence(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await leave_a_gone_topic(pool, kafka_admin, topic, make_relay())
    relay = make_relay()
    assert await relay.run_once() == 0
    create_topic(kafka_admin, topic, 3, APPEND_TIME)
    await until_empty(relay)
    await check_written_from_its_start(pool, topic, bootstrap_servers)


async def leave_a_gone_topic(pool: Pool, admin: AdminClient, topic: str, relay: Relay) -> None:
    """It was sent to, then deleted; one more record waits for it."""
    await queue(pool, topic, numbered(20))
    await until_empty(relay)
    await relay.close()
    delete_topic(admin, topic)
    await queue(pool, topic, [Record(b"k", b"new")])


async def check_written_from_its_start(pool: Pool, topic: str, servers: str) -> None:
    """With the waiting record alone, and no older offset is known."""
    assert [read.value for read in read_topic(servers, topic)] == [b"new"]
    async with pool.acquire() as connection:
        kept = await connection.fetch("SELECT acknowledged_offset FROM output_offset")
    assert {row[0] for row in kept} == {-1, 0}


async def expire_lease(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("UPDATE relay_lease SET expires_at = clock_timestamp()")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the deadline is the caller's
        await asyncio.sleep(0.005)
