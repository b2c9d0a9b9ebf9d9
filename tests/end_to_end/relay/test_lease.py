"""One relay sends at a time, and a relay notices an older database or another topic."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from service.database.session import Pool
from service.messages.encode import Message
from service.relay.lease import Lease, LeaseLost
from service.relay.loop import Relay
from service.runtime.problems import OlderDatabase
from service.settings.parts import RelayLimits
from tests.support.relaying import (
    APPEND_TIME,
    SECONDS_MAX,
    MakeRelay,
    expire_lease,
    numbered,
    queue,
    until_empty,
)
from tests.support.topics import create_topic, delete_topic, produce, read_topic
from tests.support.waiting import until


@pytest.mark.fault("two-relays")
async def test_one_relay_sends_and_another_takes_over_when_it_is_gone(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    first, second = make_relay(), make_relay()
    await queue(pool, topic, [Message(b"k", b"1")])
    assert await first.run_once() == 1
    await queue(pool, topic, [Message(b"k", b"2")])
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
    await queue(pool, topic, [Message(b"k", b"1")])
    with pytest.raises(LeaseLost):
        await first.run_once()
    assert not first.holds_lease
    assert (await second.status()).rows_waiting == 1
    assert await second.run_once() == 1


async def test_a_loop_wakes_for_work_and_stops_when_asked(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    relay, stop = make_relay(RelayLimits(relay_idle_ms=60_000)), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(SECONDS_MAX):
        await until(lambda: relay.holds_lease)
        await queue(pool, topic, numbered(10))
        relay.wake()

        async def is_empty() -> bool:
            return not (await relay.status()).rows_waiting

        await until(is_empty)
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
    await queue(pool, topic, [Message(b"k", b"late", (("ce_id", b"late-1"),))])
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
    await queue(pool, topic, [Message(b"k", b"new")])


async def check_written_from_its_start(pool: Pool, topic: str, servers: str) -> None:
    """With the waiting record alone, and no older offset is known."""
    assert [read.value for read in read_topic(servers, topic)] == [b"new"]
    async with pool.acquire() as connection:
        kept = await connection.fetch("SELECT acknowledged_offset FROM output_offset")
    assert {row[0] for row in kept} == {-1, 0}


async def test_a_lease_outlives_the_reading_of_a_page_that_takes_longer_than_it_lasts(
    pool: Pool, topic: str, make_relay: MakeRelay
) -> None:
    relay = make_relay(RelayLimits(relay_lease_seconds=2))
    await queue(pool, topic, numbered(5))
    assert await relay.run_once() == 5
    await queue(pool, topic, numbered(5))
    async with pool.acquire() as rival, rival.transaction():
        await rival.execute("LOCK TABLE output_offset IN ACCESS EXCLUSIVE MODE")
        ends_at = await rival.fetchval("SELECT expires_at FROM relay_lease")
        sending = asyncio.create_task(relay.run_once())
        await until(lambda: pool.fetchval("SELECT clock_timestamp() > $1", ends_at))
        assert not await Lease(pool, "another relay", 2).take()
    assert await sending == 5
