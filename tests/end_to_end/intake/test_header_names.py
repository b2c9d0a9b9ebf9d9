"""Records with a header name that is not UTF-8 are rejected alone and delay nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka.admin import AdminClient

from service.apply.applier import Applier
from service.apply.poll import Poll, Report
from service.consumer.group import IntakePauses, Source
from service.consumer.loop import Intake
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs, unpack_headers
from service.database.session import Pool
from service.kafka.topics import INPUTS
from service.messages.decode import parse
from service.settings.access import KafkaAccess
from service.settings.parts import ApplyLimits, IntakeLimits
from tests.support.guards import Unguarded, opened_guard
from tests.support.inputs import fine_created, structured
from tests.support.mixed_headers import Mixed, produce_mixed
from tests.support.topics import create_topic, end_offsets, produce, produce_in_transaction
from tests.support.waiting import until

FINE = "fine-created.v1"
LIMITS = IntakeLimits(
    poll_wait_ms=50, kafka_session_timeout_ms=6_000, kafka_heartbeat_interval_ms=200
)
PAUSES = IntakePauses(backoff_first_ms=20, backoff_ms_max=200)
SECONDS_MAX = 60
OUTPUTS = Outputs(
    "t.balance-changed.v1", "t.loan-closed.v1", "t.rejected.v1", "t.operator-action.v1", "/test"
)


@dataclass
class Counted:
    """The real write path; `sizes`: the records of each poll."""

    applier: Applier
    sizes: list[int] = field(default_factory=list)

    async def apply(self, poll: Poll) -> Report:
        report = await self.applier.apply(poll)
        self.sizes.append(len(poll.records))
        return report


@contextlib.asynccontextmanager
async def reading(
    pool: Pool, servers: str, group_id: str, contracts: dict[str, str]
) -> AsyncIterator[Counted]:
    """An intake that runs meanwhile, and must have stopped by itself in the end."""
    limits = ApplyLimits(bad_records_in_a_row_max=0)  # the tests are full of them
    counted = Counted(Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS, limits))
    access = KafkaAccess(
        kafka_bootstrap_servers=servers,
        kafka_request_timeout_ms=3_000,
        kafka_metadata_max_age_ms=1_000,
    )
    source = Source(group_id, contracts)
    guard = await opened_guard(pool, access, group_id, inputs=list(contracts))
    intake = Intake(guard, access, source, parse, counted, LIMITS, pauses=PAUSES)
    stop = asyncio.Event()
    task = asyncio.create_task(intake.run(stop))
    try:
        yield counted
    finally:
        stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await task


async def until_read(pool: Pool, servers: str, topics: Iterable[str]) -> None:
    """Every partition up to its end, as the database says."""
    wanted = {
        (topic, partition): end
        for topic in topics
        for partition, end in end_offsets(servers, topic).items()
    }

    async def are_read() -> bool:
        return await _offsets(pool) == wanted

    await until(are_read)


async def _offsets(pool: Pool) -> dict[tuple[str, int], int]:
    rows = await pool.fetch("SELECT topic, partition, next_offset FROM consumer_offset")
    return {(row[0], row[1]): row[2] for row in rows}


def fine_of(number: int) -> bytes:
    return structured(FINE, fine_created(fine_id=f"F-{number}"))[0]


def mixed(count: int, bad_each: int) -> Iterator[Mixed]:
    for number in range(count):
        yield b"key", fine_of(number), number % bad_each == bad_each - 1


async def fines_and_rejected(pool: Pool) -> tuple[int, int]:
    fines: int = await pool.fetchval("SELECT count(*) FROM fine")
    rejected: int = await pool.fetchval(
        "SELECT count(*) FROM rejected WHERE reason = 'invalid_envelope'"
    )
    return fines, rejected


async def _read_mixed(
    pool: Pool, servers: str, group_id: str, topic: str, records: list[Mixed]
) -> list[int]:
    """The sizes of the polls that it took."""
    await produce_mixed(servers, topic, 0, records)
    async with reading(pool, servers, group_id, {topic: FINE}) as counted:
        await until_read(pool, servers, [topic])
    bad = sum(is_bad for _, _, is_bad in records)
    assert await fines_and_rejected(pool) == (len(records) - bad, bad)
    return counted.sizes


async def test_many_such_records_are_rejected_in_few_polls_and_all_others_applied(
    pool: Pool,
    bootstrap_servers: str,
    group_id: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
) -> None:
    topic = create_topic(kafka_admin, topic_prefix + FINE, 4)
    sizes = await _read_mixed(pool, bootstrap_servers, group_id, topic, list(mixed(500, 25)))
    assert sum(sizes) == 500
    assert len(sizes) <= 5


@pytest.mark.slow
async def test_three_hundred_such_records_among_five_thousand(
    pool: Pool,
    bootstrap_servers: str,
    group_id: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
) -> None:
    topic = create_topic(kafka_admin, topic_prefix + FINE, 4)
    records = [
        (*item[:2], place % 16 == 15 and place < 4_800)
        for place, item in enumerate(mixed(5_000, 16))
    ]
    assert sum(is_bad for _, _, is_bad in records) == 300
    sizes = await _read_mixed(pool, bootstrap_servers, group_id, topic, records)
    assert sum(sizes) == 5_000
    assert len(sizes) <= 10


async def test_such_a_record_in_the_last_of_many_partitions_is_reached_while_others_are_busy(
    pool: Pool,
    bootstrap_servers: str,
    group_id: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
) -> None:
    contracts = {create_topic(kafka_admin, topic_prefix + name, 12): name for name in INPUTS}
    last = max(contracts)
    for topic, contract in contracts.items():
        if topic != last:
            produce(bootstrap_servers, topic, _bad_json(contract, 2_500))
    await produce_mixed(
        bootstrap_servers, last, 11, [(b"k", b"v", True), (b"k", fine_of(1), False)]
    )
    async with reading(pool, bootstrap_servers, group_id, contracts) as counted:
        await until_read(pool, bootstrap_servers, contracts)
    assert sum(counted.sizes) == 7_502
    assert await fines_and_rejected(pool) == (1, 1)
    assert len(counted.sizes) < 20


def _bad_json(contract: str, count: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(count):
        yield b"%d" % number, b"{%s" % contract.encode()


async def test_a_record_with_such_a_header_is_rejected_with_its_place_and_bytes(
    pool: Pool,
    bootstrap_servers: str,
    group_id: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
) -> None:
    topic = create_topic(kafka_admin, topic_prefix + FINE, 1)
    produce_in_transaction(bootstrap_servers, topic, [(b"k", fine_of(1))], topic)
    # The broker writes the marker behind the commit.
    await until(lambda: end_offsets(bootstrap_servers, topic) == {0: 2})
    await produce_mixed(
        bootstrap_servers, topic, 0, [(b"k", b"v", True), (b"k", fine_of(2), False)]
    )
    async with reading(pool, bootstrap_servers, group_id, {topic: FINE}):
        await until_read(pool, bootstrap_servers, [topic])
    assert await fines_and_rejected(pool) == (2, 1)
    row = await pool.fetchrow("SELECT * FROM rejected")
    assert row is not None
    assert (row["record_offset"], row["record_key"], row["record_value"]) == (2, b"k", b"v")
    assert unpack_headers(row["record_headers"]) == (("name\\xff\\xfe-of-a-head", b"x"),)
    assert row["detail"] == "headers: names must be in UTF-8"
