"""Topics of a test, made and read by the second Kafka implementation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

SECONDS_MAX = 30
NO_LEADER = frozenset({KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})


class Read(NamedTuple):
    """A record as a reader finds it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def create_topic(
    admin: AdminClient, name: str, partitions: int = 3, config: Mapping[str, str] | None = None
) -> str:
    """Returns the name when the broker shows the topic: it says "created" a little earlier."""
    new = NewTopic(name, partitions, 1, config=dict(config or {}))
    admin.create_topics([new], operation_timeout=SECONDS_MAX)[name].result(SECONDS_MAX)
    until_shown(admin, name, partitions)
    return name


def until_shown(admin: AdminClient, name: str, partitions: int) -> None:
    """None of them: until the topic is gone."""
    deadline = time.monotonic() + SECONDS_MAX
    while _partitions_shown(admin, name) != partitions:
        assert time.monotonic() < deadline, f"the topic is not shown with {partitions} partitions"


def _partitions_shown(admin: AdminClient, name: str) -> int:
    shown = admin.list_topics(timeout=SECONDS_MAX).topics.get(name)
    return 0 if shown is None else len(shown.partitions)


def delete_topic(admin: AdminClient, name: str) -> None:
    admin.delete_topics([name], operation_timeout=SECONDS_MAX)[name].result(SECONDS_MAX)
    until_shown(admin, name, 0)


def configure_topic(admin: AdminClient, name: str, setting: str, value: str) -> None:
    """Returns when the broker shows the setting: it accepts it a little earlier."""
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin.incremental_alter_configs([topic])[topic].result(SECONDS_MAX)
    deadline = time.monotonic() + SECONDS_MAX
    while admin.describe_configs([topic])[topic].result(SECONDS_MAX)[setting].value != value:
        assert time.monotonic() < deadline, f"{setting} is not shown as {value}"


def delete_records(admin: AdminClient, topic: str, before: Mapping[int, int]) -> None:
    """As retention does: records below the given offsets are gone."""
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
    for future in admin.delete_records(wanted).values():
        future.result(SECONDS_MAX)


def commit_group(servers: str, group_id: str, topic: str, offsets: Mapping[int, int]) -> None:
    """As a member of the group would have."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group_id, "log_level": 0})
    try:
        wanted = [TopicPartition(topic, partition, at) for partition, at in offsets.items()]
        consumer.commit(offsets=wanted, asynchronous=False)
    finally:
        consumer.close()


def group_assignment(admin: AdminClient, group_id: str) -> list[Counter[str]]:
    """How many partitions of each topic each member has; nothing while the group rebalances."""
    described = admin.describe_consumer_groups([group_id], request_timeout=SECONDS_MAX)
    group = described[group_id].result(SECONDS_MAX)
    if group.state is not ConsumerGroupState.STABLE:
        return []
    return [Counter(at.topic for at in each.assignment.topic_partitions) for each in group.members]


def must_be_delivered(error: KafkaError | None, _record: Message) -> None:
    """For `on_delivery`: that the queue is empty does not say that the broker took its records."""
    if error is not None:
        raise KafkaException(error)


def produce(
    servers: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None]],
    partitioner: str = "consistent_random",
    headers: Sequence[tuple[str, bytes]] = (),
    codec: str = "none",
    timestamp_ms: int = 0,
) -> int:
    """Returns how many the broker acknowledged: all of them. A timestamp of 0 is the time now.

    A broker applies a new size limit a moment after it has accepted it: records that are too large
    for it are offered again until the time is up.
    """
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 5,
            "partitioner": partitioner,
            "compression.type": codec,
            "message.max.bytes": 20_000_000,
            "log_level": 0,
        }
    )
    offer = partial(_offer, producer, topic, headers, timestamp_ms)
    count, too_large = offer(records)
    deadline = time.monotonic() + SECONDS_MAX
    while too_large:
        assert time.monotonic() < deadline, "a record is too large for its topic"
        _, too_large = offer(too_large)
    return count


def _offer(
    producer: Producer,
    topic: str,
    headers: Sequence[tuple[str, bytes]],
    timestamp_ms: int,
    records: Iterable[tuple[bytes | None, bytes | None]],
) -> tuple[int, list[tuple[bytes | None, bytes | None]]]:
    """How many records there were, and those that the broker found too large."""
    too_large: list[tuple[bytes | None, bytes | None]] = []

    def delivered(error: KafkaError | None, record: Message) -> None:
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            too_large.append((record.key(), record.value()))
        else:
            must_be_delivered(error, record)

    count = 0
    for key, value in records:
        producer.produce(
            topic,
            value,
            key,
            headers=list(headers),
            timestamp=timestamp_ms,
            on_delivery=delivered,
        )
        count += 1
        if count % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(SECONDS_MAX) == 0
    return count, too_large


def produce_in_transaction(
    servers: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None]],
    name: str,
    aborted: bool = False,
) -> None:
    """On the topic also where it is aborted: readers of what is committed pass it over."""
    producer = Producer({"bootstrap.servers": servers, "transactional.id": name, "log_level": 0})
    producer.init_transactions(SECONDS_MAX)
    producer.begin_transaction()
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(SECONDS_MAX) == 0
    if aborted:
        producer.abort_transaction(SECONDS_MAX)
    else:
        producer.commit_transaction(SECONDS_MAX)


def read_topic(servers: str, topic: str) -> list[Read]:
    """Every record up to the end as it is now, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reads-alone",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "fetch.message.max.bytes": 20_000_000,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    try:
        listed = consumer.list_topics(topic, SECONDS_MAX).topics[topic]
        result: list[Read] = []
        for partition in sorted(listed.partitions):
            result.extend(_read_partition(consumer, topic, partition))
        return result
    finally:
        consumer.close()


def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """By partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reads-alone", "log_level": 0})
    try:
        listed = consumer.list_topics(topic, SECONDS_MAX).topics[topic]
        return {
            partition: _first_and_end(consumer, topic, partition)[1]
            for partition in sorted(listed.partitions)
        }
    finally:
        consumer.close()


def _first_and_end(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """A topic that was made anew a moment ago may have no leader yet: it is asked again."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), SECONDS_MAX)
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER or time.monotonic() > deadline:
                raise
        consumer.list_topics(topic, SECONDS_MAX)


def _read_partition(consumer: Consumer, topic: str, partition: int) -> Iterator[Read]:
    low, high = _first_and_end(consumer, topic, partition)
    position = low
    consumer.assign([TopicPartition(topic, partition, low)])
    deadline = time.monotonic() + SECONDS_MAX
    while position < high:
        assert time.monotonic() < deadline, "the broker gives no more records"
        record = consumer.poll(1)
        if record is None or record.error() is not None:
            continue
        offset = record.offset()
        assert offset is not None
        position = offset + 1
        yield Read(partition, offset, record.key(), record.value(), _headers(record))


def _headers(record: Message) -> tuple[tuple[str, bytes], ...]:
    result = cast("list[tuple[str, bytes | None]]", record.headers() or [])
    return tuple((name, value or b"") for name, value in result)


def forget_group(admin: AdminClient, group_id: str) -> None:
    """As when its offsets have expired. The group must have no member."""
    admin.delete_consumer_groups([group_id])[group_id].result(SECONDS_MAX)
