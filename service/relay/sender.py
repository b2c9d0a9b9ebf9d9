"""Sends windows with one idempotent producer; says what was acknowledged and what was refused.

A send that waits is not a failed send: it has no deadline. Only one that raises ends the producer,
for its partition would refuse everything from then on.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from ..database.records import unpack_headers
from ..kafka.clients import KafkaAccess, hard_close, new_producer, start
from .window import Lane, Outgoing, Progress, Row, batches, lanes

# Refused for their own sake: no other record is to blame, and no waiting helps.
OWN_FAULTS = {
    MessageSizeTooLargeError: "too_large",
    RecordListTooLargeError: "too_large",
    InvalidTimestampError: "invalid_timestamp",
}
# The topic's fault: every record is kept until somebody mends it.
TOPIC_FAULTS = (TopicAuthorizationFailedError, UnknownTopicOrPartitionError, InvalidTopicError)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A batch that was refused, or a whole topic (no records); those behind it were not sent."""

    topic: str
    records: Sequence[Outgoing]
    error: KafkaError


class Sender:
    """Holds the producer between windows."""

    def __init__(self, access: KafkaAccess, request_bytes_max: int, batch_bytes_max: int) -> None:
        self._access = access
        self._request_bytes_max = request_bytes_max
        self._batch_bytes_max = batch_bytes_max
        self._producer: AIOKafkaProducer | None = None

    @property
    def is_started(self) -> bool:
        return self._producer is not None

    async def start(self) -> None:
        """Raises KafkaUnavailable."""
        if self._producer is None:
            self._producer = await start(
                new_producer(self._access, self._request_bytes_max, self._batch_bytes_max)
            )

    async def close(self) -> None:
        """Whatever it had not sent yet it never will; `start` makes another."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await hard_close(producer)

    async def send(self, rows: Sequence[Row], progress: Progress) -> list[Refusal]:
        """All that is left of `rows`, lanes beside each other; what is acknowledged is noted.

        Returns when every lane is through or refused; until the broker answers it waits.
        """
        producer = self._producer
        assert producer is not None, "started first"
        partitions, refusals = await self._partitions(producer, {row.topic for row in rows})
        ways = [
            self._send_lane(producer, lane, records, progress)
            for lane, records in lanes(rows, partitions, progress.done).items()
        ]
        answers = await asyncio.gather(*ways)
        return refusals + [answer for answer in answers if answer is not None]

    async def _send_lane(
        self,
        producer: AIOKafkaProducer,
        lane: Lane,
        records: Sequence[Outgoing],
        progress: Progress,
    ) -> Refusal | None:
        topic, partition = lane
        bytes_max = progress.batch_bytes.get(topic, self._batch_bytes_max)
        for batch in batches(records, bytes_max, progress.singly):
            if batch[0].size > self._request_bytes_max:  # no need to ask the broker
                return Refusal(topic, batch, MessageSizeTooLargeError())
            try:
                sent = await producer.send_batch(
                    _filled(producer, batch), topic, partition=partition
                )
                told = await sent
            except KafkaError as error:
                return Refusal(topic, batch, error)
            # A repeat that the broker knew already is acknowledged without its offset (-1).
            last = told.offset + len(batch) - 1 if told.offset >= 0 else -1
            progress.acknowledge(lane, batch, last)
        return None

    async def _partitions(
        self, producer: AIOKafkaProducer, topics: Iterable[str]
    ) -> tuple[dict[str, int], list[Refusal]]:
        names = sorted(topics)
        told = await asyncio.gather(
            *(producer.partitions_for(name) for name in names), return_exceptions=True
        )
        counts: dict[str, int] = {}
        refusals: list[Refusal] = []
        for name, answer in zip(names, told, strict=True):
            if isinstance(answer, KafkaError):
                refusals.append(Refusal(name, (), answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                counts[name] = len(answer)
        return counts, refusals


def _filled(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> object:
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
