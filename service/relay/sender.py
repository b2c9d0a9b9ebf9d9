"""Sends records with one idempotent producer, and reports which were acknowledged and which failed.

The records of an output partition are sent one batch after the other: if a batch fails, none behind
it in its partition is sent first. A send that waits has not failed: there is no deadline. If a send
raises an error, the producer is closed, because it would fail all later records of that partition.

The bytes of a batch are sent when its manifest is acknowledged: whatever is lost afterwards, the
manifests say which lines of which fines may have been billed.
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
TOPIC_FAULTS = (TopicAuthorizationFailedError, UnknownTopicOrPartitionError, InvalidTopicError)
DOCUMENTS, MANIFESTS = "export-batch.v1", "export-manifest.v1"


@dataclass(frozen=True, slots=True)
class SendFailure:
    """A failed send: a batch that the broker did not accept, or a whole topic if it has no records.

    The records behind it in the partition were not sent.
    """

    topic: str
    records: Sequence[OutboxRecord]
    error: KafkaError

    @property
    def record_fault(self) -> str | None:
        """The reason of quarantine if one of the records is the cause; None if the cause is
        something else.
        """
        return RECORD_FAULTS.get(type(self.error))

    @property
    def is_topic_fault(self) -> bool:
        """Whether the topic is the cause of the failure."""
        return isinstance(self.error, TOPIC_FAULTS)


class Sender:
    """Keeps the producer between pages. `request_bytes_max` is the size of the largest record that
    it sends.
    """

    def __init__(self, access: KafkaAccess, request_bytes_max: int) -> None:
        self._access = access
        self._request_bytes_max = request_bytes_max
        self.batch_bytes_max = min(BATCH_BYTES_MAX, request_bytes_max)
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> bool:
        """Makes a producer, if there is none, and returns True. Raises KafkaUnavailable."""
        if self._producer is None:
            self._producer = await start(
                new_producer(self._access, self._request_bytes_max, self.batch_bytes_max)
            )
        return True

    async def close(self) -> None:
        """Ends the producer; records that it has not sent yet are not sent by it any more."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await hard_close(producer)

    async def send(self, rows: Sequence[Row], progress: Progress) -> list[SendFailure]:
        """Sends the records of `rows` that are left, in all partitions at once, and returns the
        failures.

        Acknowledgements are noted in `progress`. Waits until the broker has answered for each
        partition, however long that takes.
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
    """The topics that are blocked, and that of the batches if that of their manifests is."""
    topics = list(blocked)
    return topics + [
        topic.removesuffix(MANIFESTS) + DOCUMENTS for topic in topics if topic.endswith(MANIFESTS)
    ]


def left_of(
    rows: Iterable[Row], progress: Progress, partitions: Mapping[str, int]
) -> dict[TopicPartition, list[OutboxRecord]]:
    """Returns the records that are left to send, by partition, in the order of the outbox.

    `partitions` has the number of partitions of each topic; topics that it does not have are
    left out.
    """
    left: dict[TopicPartition, list[OutboxRecord]] = {}
    for row in rows:
        if row.topic not in partitions:
            continue
        skipped = progress.skipped(row)
        for place, (key, value, headers) in enumerate(
            zip(row.keys, row.values, row.headers, strict=True)
        ):
            if place not in skipped:
                record_id = RecordId(row.id, place)
                number = partition_of(key, record_id, partitions[row.topic])
                size = len(key or b"") + len(value or b"") + len(headers)
                record = OutboxRecord(record_id, key, value, headers, size + RECORD_OVERHEAD_BYTES)
                left.setdefault(TopicPartition(row.topic, number), []).append(record)
    return left


def partition_of(key: bytes | None, record: RecordId, count: int) -> int:
    """The partition, of `count`, for a record with this key: as Java's producer chooses it.

    Without a key it depends on the place in the outbox, so that a second sending goes there too.
    """
    return (record.row + record.place if key is None else _positive_hash(key)) % count


def batches(
    records: Iterable[OutboxRecord], bytes_max: int, suspects: set[RecordId]
) -> Iterator[list[OutboxRecord]]:
    """Cuts the records of a partition into batches of at most `bytes_max` bytes.

    A record in `suspects`, and a record that is larger than `bytes_max`, is a batch of its own.
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
