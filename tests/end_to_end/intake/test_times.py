"""Records as clients write them that set no time, or frame their values for a schema registry."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from service.database.session import Pool
from tests.support.inputs import ABSENT, binary, fine_created, structured
from tests.support.intaking import FINE, MakeIntake, count, holds, running
from tests.support.topics import produce
from tests.support.waiting import until

REGISTRY = b"\x00\x00\x00\x00\x0c"


def fine(name: str, fine_id: str) -> dict[str, object]:
    patron = {"patron_id": "P-1", "name": name, "user_group": "", "identifiers": []}
    return fine_created(fine_id=fine_id, patron=patron)


async def test_records_without_a_time_and_with_framing_are_taken_with_the_timestamp_of_kafka(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    stamped_ms = time.time_ns() // 1_000_000 - 60_000
    value, headers = binary(FINE, fine("Roe, Jane", "F-1"))
    no_time = [header for header in headers if header[0] != "ce_time"]
    framed = [(b"k", REGISTRY + value)]
    produce(bootstrap_servers, topic, framed, headers=no_time, timestamp_ms=stamped_ms)
    older = structured(FINE, fine("Maiden, Jane", "F-2"), time=ABSENT)[0]
    produce(bootstrap_servers, topic, [(b"k", older)], timestamp_ms=stamped_ms - 1)
    async with running(make_intake()):
        await until(holds(pool, 2))
    assert await count(pool, "rejected") == 0
    async with pool.acquire() as connection:
        (row,) = await connection.fetch("SELECT name, seen_at FROM patron")
    assert row["name"] == "Roe, Jane"
    assert row["seen_at"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamped_ms)


async def test_a_rejected_record_keeps_its_bytes_and_its_timestamp(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> None:
    stamped_ms = time.time_ns() // 1_000_000 - 60_000
    value = REGISTRY + structured(FINE, fine_created(amount=95.5), time=ABSENT)[0]
    produce(bootstrap_servers, topic, [(b"k", value)], timestamp_ms=stamped_ms)
    async with running(make_intake()):
        await until(holds(pool, 1, "rejected"))
    async with pool.acquire() as connection:
        (row,) = await connection.fetch("SELECT * FROM rejected")
    assert (row["reason"], row["record_value"]) == ("invalid_amount", value)
    assert row["record_timestamp_ms"] == stamped_ms
