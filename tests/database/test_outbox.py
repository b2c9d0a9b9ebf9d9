"""The outbox as a queue: rows in order, below a byte limit, nothing of a record lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import randbytes

import pytest

from service.database.outbox import put, unpack_headers
from service.database.session import Connection, create_pool, statements
from service.messages.encode import Message

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    pool = await create_pool(database_url)
    async with pool.acquire() as connection:
        yield connection
    await pool.close()


async def page(
    connection: Connection, rows: int = 100, size: int = 1 << 30, blocked: tuple[str, ...] = ()
) -> list[tuple[str, list[Message]]]:
    result = await connection.fetch(statements("outbox")["page"], rows, size, list(blocked))
    return [
        (
            row["topic"],
            [
                Message(key, value, unpack_headers(headers))
                for key, value, headers in zip(
                    row["keys"], row["payloads"], row["headers"], strict=True
                )
            ],
        )
        for row in result
    ]


async def test_records_come_out_as_they_went_in(connection: Connection) -> None:
    records = [
        Message(
            b"k\x00\xff", b"\x00\xfe", (("ce_id", b"\xff\x00"), ("ce_id", b""), ("ü", "ü".encode()))
        ),
        Message(None, None),
        Message(b"", b""),
    ]
    await put(connection, "t", records, NOW)
    assert await page(connection) == [("t", records)]


async def test_a_poll_is_one_row_as_long_as_it_stays_below_the_byte_limit(
    connection: Connection,
) -> None:
    records = [Message(b"%04d" % number, b"x" * 100) for number in range(1_000)]
    await put(connection, "t", records, NOW)
    assert [len(row) for _, row in await page(connection)] == [1_000]


async def test_rows_are_cut_at_the_byte_limit_and_keep_the_order(connection: Connection) -> None:
    records = [Message(b"%04d" % number, b"x" * 94) for number in range(25)]  # 100 bytes each
    await put(connection, "t", records, NOW, row_bytes_max=1_000)
    rows = [row for _, row in await page(connection)]
    assert [len(row) for row in rows] == [10, 10, 5]
    assert [record for row in rows for record in row] == records


async def test_a_record_larger_than_the_limit_has_a_row_of_its_own(connection: Connection) -> None:
    records = [Message(b"a", b"x"), Message(b"b", b"x" * 5_000), Message(b"c", b"x")]
    await put(connection, "t", records, NOW, row_bytes_max=1_000)
    assert [row for _, row in await page(connection)] == [[record] for record in records]


async def test_nothing_to_say_writes_nothing(connection: Connection) -> None:
    await put(connection, "t", [], NOW)
    assert await page(connection) == []


async def test_a_page_ends_at_its_bytes_but_has_a_row_at_least(connection: Connection) -> None:
    for number in range(4):
        await put(connection, "t", [Message(b"%d" % number, randbytes(3_000))], NOW)
    assert len(await page(connection, size=7_000)) == 2
    assert len(await page(connection, size=1)) == 1
    assert len(await page(connection, rows=3)) == 3


async def test_a_blocked_topic_keeps_its_rows_and_does_not_stop_the_others(
    connection: Connection,
) -> None:
    await put(connection, "blocked", [Message(b"1", b"1")], NOW)
    await put(connection, "free", [Message(b"2", b"2")], NOW)
    assert [topic for topic, _ in await page(connection, rows=1, blocked=("blocked",))] == ["free"]
    assert [topic for topic, _ in await page(connection)] == ["blocked", "free"]


async def test_a_page_names_the_places_that_are_in_quarantine(connection: Connection) -> None:
    await put(connection, "t", [Message(b"%d" % number, b"x") for number in range(3)], NOW)
    query = statements("outbox")
    (row,) = await connection.fetch(query["page"], 1, 1_000, [])
    await connection.execute(
        query["put_in_quarantine"], row["id"], 1, "t", b"1", b"x", b"[]", "r", NOW
    )
    (row,) = await connection.fetch(query["page"], 1, 1_000, [])
    assert row["quarantined"] == [1]
