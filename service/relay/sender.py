"""Sends the records of the outbox with one idempotent Kafka producer, and reports which of them
were acknowledged and which failed.

To each partition the batches of records are sent one after the other, so that no batch can overtake
an earlier one that failed. Sending has no time limit: as long as the producer waits for a broker,
the send has not failed. If a send raises an error, the producer is closed and replaced, because it
would fail all later records of that partition too.

An export batch's document is sent only after the brokers have acknowledged its manifest. If the
database is lost after that, the manifests in Kafka show which fines the bursar may have received.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2

from ..database.outbox import unpack_headers
from ..kafka.clients import hard_close, new_producer, start
from ..settings.access import KafkaAccess
from .outbox import OutboxRecord, Progress, RecordId, Row

BATCH_BYTES_MAX = 512 * 1024  # of one produce batch; a topic takes 1 MiB by default

# Upper bound of what Kafka's format adds to a record's key, value and packed headers.
RECORD_OVERHEAD_BYTES = 64

# Errors that are a record's own, with the reason that the quarantine keeps: no waiting helps.
RECORD_FAULTS = {
    MessageSizeTooLargeError: "too_large",
    RecordListTooLargeError: "too_large",
    InvalidTimestampError: "invalid_timestamp",
}
# Errors of a topic: every record stays in the outbox until somebody mends the topic.
TOPIC_FAULTS = {
    TopicAuthorizationFailedError: "the brokers do not let the service write to it",
    UnknownTopicOrPartitionError: "the cluster does not have it",
    InvalidTopicError: "the brokers do not take its name",
}
DOCUMENTS, MANIFESTS = "export-batch.v1", "export-manifest.v1"


@dataclass(frozen=True, slots=True)
class SendFailure:
    """A failed send: `records` are those that the broker did not accept; if `records` is empty,
    nothing could be sent to the topic at all. The records that follow in the same partition were
    not sent either.
    """

    topic: str
    records: Sequence[OutboxRecord]
    error: KafkaError

    @property
    def record_fault(self) -> str | None:
        """The reason for which a record is put into quarantine, if one of the records caused the
        failure; None if something else did.
        """
        return RECORD_FAULTS.get(type(self.error))

    @property
    def topic_fault(self) -> str | None:
        """Says what is wrong with the topic if that caused the failure; None otherwise."""
        return TOPIC_FAULTS.get(type(self.error))


class Sender:
    """Sends rows of the outbox, and keeps its Kafka producer open from one send to the next. A
    record of more than `request_bytes_max` bytes is not sent; it counts as a failure.
    """

    def __init__(self, access: KafkaAccess, request_bytes_max: int) -> None:
        self._access = access
        self._request_bytes_max = request_bytes_max
        self.batch_bytes_max = min(BATCH_BYTES_MAX, request_bytes_max)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> bool:
        """Starts a producer if none is open, and returns True. Raises KafkaUnavailable."""
        if self._producer is None:
            self._producer = await start(
                new_producer(self._access, self._request_bytes_max, self.batch_bytes_max)
            )
        return True

    async def close(self) -> None:
        """Ends the producer for certain, so that it sends none of the records that it still has."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await hard_close(producer)

    async def send(self, rows: Sequence[Row], progress: Progress) -> list[SendFailure]:
        """Sends those records of `rows` that were not acknowledged yet, to all partitions at the
        same time, and returns the failures.

        The brokers' acknowledgements are noted in `progress`. Waits until the brokers have answered
        for each partition, however long that takes.
        """
        producer = self._producer
        assert producer is not None, "started first"
        partitions, failures = await self._partitions(producer, {row.topic for row in rows})
        left = left_of(rows, progress, partitions)
        for are_documents in (False, True):
            results = await asyncio.gather(
                *(
                    self._send_partition(producer, at, records, progress)
                    for at, records in left.items()
                    if at.topic.endswith(DOCUMENTS) is are_documents
                )
            )
            failures += [failure for failure in results if failure is not None]
            if any(failure.topic.endswith(MANIFESTS) for failure in failures):
                break
        return failures

    async def _send_partition(
        self,
        producer: AIOKafkaProducer,
        at: TopicPartition,
        records: Sequence[OutboxRecord],
        progress: Progress,
    ) -> SendFailure | None:
        bytes_max = progress.batch_bytes.get(at.topic, self.batch_bytes_max)
        for batch in batches(records, bytes_max, progress.suspects):
            if batch[0].size > self._request_bytes_max:  # no need to ask the broker
                return SendFailure(at.topic, batch, MessageSizeTooLargeError())
            try:
                acknowledgement = await (
                    await producer.send_batch(
                        _filled(producer, batch), at.topic, partition=at.partition
                    )
                )
            except KafkaError as error:
                return SendFailure(at.topic, batch, error)
            # A repeat that the broker knew already is acknowledged without its offset (-1).
            offset = acknowledgement.offset
            progress.acknowledge(at, batch, offset + len(batch) - 1 if offset >= 0 else -1)
        return None

    async def _partitions(
        self, producer: AIOKafkaProducer, topics: Iterable[str]
    ) -> tuple[dict[str, int], list[SendFailure]]:
        """How many partitions each topic has, and a failure for each topic that cannot be used."""
        counts: dict[str, int] = {}
        failures: list[SendFailure] = []

        async def count(topic: str) -> None:
            try:
                counts[topic] = len(await producer.partitions_for(topic))
            except KafkaError as error:
                failures.append(SendFailure(topic, (), error))

        await asyncio.gather(*map(count, sorted(topics)))
        return counts, failures


def _filled(producer: AIOKafkaProducer, records: Iterable[OutboxRecord]) -> object:
    """A batch for the producer. Without a time of ours: a clock ahead would block the partition."""
    builder = producer.create_batch()
    for record in records:
        added = builder.append(
            timestamp=None,
            key=record.key,
            value=record.value,
            headers=list(unpack_headers(record.headers)),
        )
        assert added is not None, "batches are cut below the producer's limit"
    builder.close()
    return builder


def with_documents(blocked: Iterable[str]) -> list[str]:
    """Returns the blocked topics; if the topic of manifests is among them, the topic of batch
    documents is added, because a document is sent only after its manifest.
    """
    topics = list(blocked)
    return topics + [
        topic.removesuffix(MANIFESTS) + DOCUMENTS for topic in topics if topic.endswith(MANIFESTS)
    ]


def left_of(
    rows: Iterable[Row], progress: Progress, partitions: Mapping[str, int]
) -> dict[TopicPartition, list[OutboxRecord]]:
    """Returns the records that still have to be sent, by partition, in the order of the outbox.

    `partitions` has the number of partitions of each topic; records of topics that are missing in
    it are left out.
    """
    left: dict[TopicPartition, list[OutboxRecord]] = {}
    for row in rows:
        if row.topic not in partitions:
            continue
        skipped, count = progress.skipped(row), partitions[row.topic]
        lists: list[list[OutboxRecord]] = [
            left.setdefault(TopicPartition(row.topic, number), []) for number in range(count)
        ]
        columns = zip(row.keys, row.values, row.headers, strict=True)
        for place, (key, value, headers) in enumerate(columns):
            if place not in skipped:
                record_id = RecordId(row.id, place)
                size = len(key or b"") + len(value or b"") + len(headers) + RECORD_OVERHEAD_BYTES
                record = OutboxRecord(record_id, key, value, headers, size)
                lists[partition_of(key, record_id, count)].append(record)
    return {at: records for at, records in left.items() if records}


def partition_of(key: bytes | None, record: RecordId, count: int) -> int:
    """Returns the partition, from 0 to `count` - 1, for a record with this key, as Kafka's Java
    producer would choose it.

    For a record without a key the partition is computed from its position in the outbox, so that
    the record goes to the same partition if it is sent again.
    """
    return (record.row + record.place if key is None else _positive_hash(key)) % count


def batches(
    records: Iterable[OutboxRecord], bytes_max: int, suspects: set[RecordId]
) -> Iterator[list[OutboxRecord]]:
    """Divides the records of a partition into batches of at most `bytes_max` bytes.

    A record gets a batch of its own if it is in `suspects` or larger than `bytes_max`.
    """
    batch: list[OutboxRecord] = []
    batch_bytes = 0
    for record in records:
        is_suspect = record.id in suspects
        if batch and (is_suspect or batch_bytes + record.size > bytes_max):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(record)
        batch_bytes = bytes_max if is_suspect else batch_bytes + record.size
    if batch:
        yield batch


@lru_cache(maxsize=100_000)
def _positive_hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF
