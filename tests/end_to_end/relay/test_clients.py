"""The clients' hard end and the topics' shape, on a real broker."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from service.kafka.clients import KafkaUnavailable, hard_close, new_producer, start
from service.kafka.topics import INPUTS, OUTPUTS, TopicShape, check_topics, create_topics
from service.settings import KafkaAccess
from tests.support.topics import configure_topic

SECONDS_MAX = 60
SHAPE = TopicShape(partitions=2, replication=1)


async def test_a_producer_closed_hard_has_no_sender_left(bootstrap_servers: str) -> None:
    producer = await start(
        new_producer(KafkaAccess(kafka_bootstrap_servers=bootstrap_servers), 1_000_000, 100_000)
    )
    task: asyncio.Task[None] = producer._sender.sender_task  # the name that hard_close relies on
    assert not task.done()
    await hard_close(producer)
    assert task.done()


async def test_a_broker_that_is_away_is_told_with_its_cause() -> None:
    access = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1", kafka_request_timeout_ms=1_000)
    with pytest.raises(KafkaUnavailable, match="nobody listens there"):
        await start(new_producer(access, 1_000_000, 100_000))


async def test_topics_are_created_once_as_they_must_be(
    bootstrap_servers: str, topic_prefix: str
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    missing = await check_topics(access, topic_prefix)
    assert {result.rule for result in missing} == {"must exist"}
    assert len(missing) == len(INPUTS) + len(OUTPUTS)
    created = await create_topics(access, topic_prefix, SHAPE)
    assert set(created) == {topic_prefix + name for name in (*INPUTS, *OUTPUTS)}
    assert await create_topics(access, topic_prefix, SHAPE) == ()
    async with asyncio.timeout(SECONDS_MAX):  # the broker lists them a little later
        while await check_topics(access, topic_prefix):
            continue


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("balance-changed.v1", "cleanup.policy", "compact"),
        ("export-batch.v1", "max.message.bytes", "1048588"),
        ("export-manifest.v1", "retention.ms", "604800000"),
        ("loan-closed.v1", "message.timestamp.type", "CreateTime"),
    ],
)
async def test_a_topic_that_is_set_otherwise_is_named_with_the_rule(
    bootstrap_servers: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
    name: str,
    setting: str,
    value: str,
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    await create_topics(access, topic_prefix, SHAPE)
    configure_topic(kafka_admin, topic_prefix + name, setting, value)
    async with asyncio.timeout(SECONDS_MAX):  # topics and settings reach the broker a little later
        while len(differences := await check_topics(access, topic_prefix)) != 1:
            continue
    (difference,) = differences
    assert difference.topic == topic_prefix + name
    assert difference.rule.startswith(f"{setting} must be")
