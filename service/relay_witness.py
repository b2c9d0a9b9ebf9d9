"""The output topics as witness: what lies there beyond the last acknowledgement must be known here.

After a crash between acknowledgement and delete it is: its cause is in the ledger. After an older
database was restored it is not, and sending would give numbers a second meaning.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from service.database.pool import Connection, Pool
from service.database.statements import statements
from service.kafka.clients import KafkaAccess, close_client, new_reader, start
from service.kafka.stops import OlderDatabase
from service.telemetry import get_log

TYPE_PREFIX = "org.bursar-bridge."
RECORDS_MAX = 5  # looked at, of each partition: the last ones
READ_SECONDS_MAX = 6  # less than a lease lasts
SQL = statements("outbox")
OUTPUT_TOPIC_BEHIND = "output_topic_behind"
OUTPUT_TOPIC_UNREADABLE = "output_topic_unreadable"

log = get_log(__name__)

Question = tuple[str, tuple[object, ...]]  # name of a statement, its arguments


async def check_outputs(pool: Pool, access: KafkaAccess, topics: Sequence[str]) -> None:
    """Raises OlderDatabase if an output topic has what this database cannot explain.

    A database that has never sent anything explains nothing and is asked nothing. Raises
    KafkaUnavailable, KafkaError, TimeoutError while the brokers cannot answer.
    """
    async with pool.acquire() as connection:
        rows = await connection.fetch(SQL["acknowledged"])
    known = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    if not known:
        return
    reader = await start(new_reader(access))
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            ends = await _ends(reader, set(topics), known)
            await _mend(pool, {at: end for at, end in ends.items() if end - 1 < known.get(at, -1)})
            beyond = {at: end for at, end in ends.items() if end - 1 > known.get(at, -1)}
            records = await _read(reader, beyond, known) if beyond else []
        async with pool.acquire() as connection:
            for record in records:  # a handful, and only after a crash
                await _explain(connection, record)
    except TopicAuthorizationFailedError:
        # To send takes the right to write alone. The input side has a witness of its own.
        log.exception(OUTPUT_TOPIC_UNREADABLE)
    finally:
        await close_client(reader)


async def _ends(
    reader: AIOKafkaConsumer, topics: set[str], known: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """End offsets of all partitions of the topics that were sent to; 0 where the topic is gone."""
    there = topics & set(await reader.topics())
    ends: dict[TopicPartition, int] = await reader.end_offsets(
        [at for at in known if at.topic in there]
    )
    gone = {at: 0 for at in known if at.topic in topics - there}
    others = [
        TopicPartition(topic, partition)
        for topic in {at.topic for at in ends}
        for partition in reader.partitions_for_topic(topic) or ()
    ]
    ends |= await reader.end_offsets([at for at in others if at not in ends])
    return ends | gone


async def _mend(pool: Pool, behind: Mapping[TopicPartition, int]) -> None:
    for at, end in behind.items():
        log.error(OUTPUT_TOPIC_BEHIND, topic=at.topic, partition=at.partition, end_offset=end)
        async with pool.acquire() as connection:
            await connection.execute(SQL["reset_acknowledged"], at.topic, at.partition, end - 1)


async def _read(
    reader: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    known: Mapping[TopicPartition, int],
) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    """The last records of each partition, at most RECORDS_MAX, none that was acknowledged."""
    firsts = await reader.beginning_offsets(list(ends))
    starts = {
        at: max(known.get(at, -1) + 1, firsts[at], end - RECORDS_MAX) for at, end in ends.items()
    }
    left = {at for at, first in starts.items() if first < ends[at]}
    if not left:
        return []
    reader.assign(sorted(left))
    for at in left:
        reader.seek(at, starts[at])
    found: list[ConsumerRecord[bytes | None, bytes | None]] = []
    while left:
        for records in (await reader.getmany(timeout_ms=200)).values():
            found.extend(records)
        for at in list(left):
            if await reader.position(at) >= ends[at]:
                left.discard(at)
    return found


async def _explain(
    connection: Connection, record: ConsumerRecord[bytes | None, bytes | None]
) -> None:
    headers = {name: value for name, value in record.headers if value is not None}
    ce_id = headers.get("ce_id", b"").decode("utf-8", "replace")
    contract = headers.get("ce_type", b"").decode("utf-8", "replace").removeprefix(TYPE_PREFIX)
    try:
        name, arguments = QUESTIONS[contract](ce_id, record)
        if await connection.fetchval(SQL[name], *arguments):
            return
    except (KeyError, ValueError, TypeError, asyncpg.DataError):
        pass  # not a record of ours, or not of this version: the outbox may know it
    packed = orjson.dumps(headers.get("ce_id", b"").decode("latin-1"))
    if ce_id and await connection.fetchval(SQL["waits_in_outbox"], record.topic, packed):
        return
    raise OlderDatabase(
        f"topic {record.topic}, partition {record.partition}, offset {record.offset}: this "
        "database does not know the record, an older one was restored; run `bursar-bridge recover`"
    )


def _transaction(ce_id: str, record: ConsumerRecord[bytes | None, bytes | None]) -> Question:
    event = orjson.loads(record.value or b"")
    account = (event["institution_id"], event["patron_id"], event["currency"])
    return "knows_transaction", (*account, event["sequence"], ce_id)


def _batch(ce_id: str, _: object) -> Question:
    institution, profile, number = ce_id.removesuffix("/manifest").split("/")
    return "knows_batch", (institution, profile, int(number))


def _loan(ce_id: str, _: object) -> Question:
    institution, _, loan = ce_id.partition("/")
    return "knows_loan_closed", (institution, loan)


def _rejected(ce_id: str, _: object) -> Question:
    topic, partition, offset = ce_id.rsplit("/", 2)
    return "knows_rejected", (topic, int(partition), int(offset))


QUESTIONS: Mapping[str, Callable[[str, ConsumerRecord[bytes | None, bytes | None]], Question]] = {
    "balance-changed.v1": _transaction,
    "export-batch.v1": _batch,
    "export-manifest.v1": _batch,
    "loan-closed.v1": _loan,
    "rejected.v1": _rejected,
}
