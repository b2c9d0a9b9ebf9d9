"""Reads topics and tables, by clients that the service does not use or by plain statements."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import asyncpg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.auditor.evidence import INPUTS, OUTPUTS, TABLES, Evidence, Headers, Record, Row

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

SECONDS_MAX = 30
RECORD_BYTES_MAX = 32 * 1024 * 1024
FETCH_MS_MAX = 20  # a broker that has nothing more answers, and the next partition has its turn
CONSUME_SECONDS = 0.05
ORDERED = {"ledger_transaction": " ORDER BY institution_id, patron_id, currency, sequence"}


class Silent(Exception):
    """A topic does not give its records."""


async def read_evidence(database_url: str, servers: str, prefix: str) -> Evidence:
    """Reads all topics of the prefix, and then all tables as of one instant."""
    topics = read_topics(servers, prefix)
    connection = await asyncpg.connect(database_url, timeout=SECONDS_MAX)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return topics.with_tables(await read_tables(connection))
    finally:
        await connection.close()


async def read_tables(connection: Connection) -> dict[str, Sequence[Row]]:
    """Every row of the tables that the auditor judges, in the transaction that is open."""
    return {
        name: [
            dict(row)
            for row in await connection.fetch(f"SELECT * FROM {name}{ORDERED.get(name, '')}")
        ]
        for name in TABLES
    }


def read_topics(servers: str, prefix: str) -> Evidence:
    """Every record of the topics of the prefix, up to their ends as they are now."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reads-alone",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": RECORD_BYTES_MAX,
            "receive.message.max.bytes": 4 * RECORD_BYTES_MAX,
            "fetch.wait.max.ms": FETCH_MS_MAX,
            "log_level": 0,
        }
    )
    try:
        records: dict[str, list[Record]] = {}
        starts, ends = {}, {}
        known = consumer.list_topics(timeout=SECONDS_MAX).topics
        for contract in (*INPUTS, *OUTPUTS):
            topic = prefix + contract
            partitions = known[topic].partitions if topic in known else ()
            for number in partitions:
                at = TopicPartition(topic, number)
                starts[topic, number], ends[topic, number] = consumer.get_watermark_offsets(
                    at, timeout=SECONDS_MAX
                )
            left = [(topic, n) for n in partitions if starts[topic, n] < ends[topic, n]]
            wanted = [TopicPartition(*at, starts[at]) for at in left]
            records[contract] = _read(consumer, wanted)
        return Evidence(prefix, records, starts, ends)
    finally:
        consumer.close()


def _read(consumer: Consumer, wanted: Sequence[TopicPartition]) -> list[Record]:
    """The records of these partitions up to the end that the broker shows when it is reached."""
    consumer.assign(list(wanted))
    records: list[Record] = []
    reading, deadline = {(at.topic, at.partition) for at in wanted}, time.monotonic() + SECONDS_MAX
    while reading:
        for message in consumer.consume(10_000, CONSUME_SECONDS):
            error = message.error()
            if error is None:
                records.append(_record(message))
                deadline = time.monotonic() + SECONDS_MAX
            elif error.code() == KafkaError._PARTITION_EOF:
                reading.discard((message.topic(), message.partition()))
            else:
                raise KafkaException(error)
        if time.monotonic() > deadline:
            raise Silent(wanted[0].topic)
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _record(message: Message) -> Record:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(topic, partition, offset, message.key(), message.value(), _headers(message))


def _headers(message: Message) -> Headers | None:
    try:
        headers = cast(Sequence[tuple[str, str | bytes | None]], message.headers() or [])
    except UnicodeDecodeError:
        return None
    return tuple((name, _bytes(value)) for name, value in headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
