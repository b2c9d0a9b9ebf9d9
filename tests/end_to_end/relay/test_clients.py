"""The clients' hard end and the topics' shape, on a real broker."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from service.kafka.clients import KafkaUnavailable, hard_close, new_producer, start
from service.kafka.topic_settings import MISSING, Concern, Difference, check_topics
from service.kafka.topics import INPUTS, OUTPUTS, TopicNotCreated, create_topics
from service.settings.access import KafkaAccess
from tests.support.topic_rights import deny_describing_settings
from tests.support.topics import configure_topic, create_topic

SECONDS_MAX = 60
PARTITIONS = 2


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


async def only_difference(access: KafkaAccess, prefix: str) -> Difference:
    """The only difference, as soon as topics and settings have reached the broker."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            differences = await check_topics(access, prefix)
            if len(differences) == 1 and differences[0].topic.startswith(prefix):
                return differences[0]


async def test_topics_are_created_once_as_they_must_be(
    bootstrap_servers: str, topic_prefix: str
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    (wrong,) = await check_topics(access, topic_prefix)
    assert wrong.topic == "BURSAR_TOPIC_PREFIX"
    created = await create_topics(access, topic_prefix, PARTITIONS)
    assert set(created) == {topic_prefix + name for name in (*INPUTS, *OUTPUTS)}
    assert await create_topics(access, topic_prefix, PARTITIONS) == ()
    async with asyncio.timeout(SECONDS_MAX):  # the broker lists them a little later
        while await check_topics(access, topic_prefix):
            continue


async def test_without_any_topic_the_prefix_is_named_and_a_prefix_that_has_some(
    bootstrap_servers: str, topic_prefix: str, kafka_admin: AdminClient
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    create_topic(kafka_admin, topic_prefix + INPUTS[0], 1)
    wrong = topic_prefix.replace(".", "..")
    async with asyncio.timeout(SECONDS_MAX):  # the broker lists it a little later
        while f'"{topic_prefix}"' not in str(difference := (await check_topics(access, wrong))[0]):
            continue
    assert f'no topic of the service is there with the prefix "{wrong}"' in str(difference)
    differences = await check_topics(access, topic_prefix)
    missing = [each.topic for each in differences if each.rule == MISSING]
    assert missing == [topic_prefix + name for name in (*INPUTS, *OUTPUTS)][1:]


async def test_a_topic_that_is_created_in_a_repair_is_like_the_others(
    bootstrap_servers: str, topic_prefix: str, kafka_admin: AdminClient
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    for name in INPUTS[1:]:
        create_topic(kafka_admin, topic_prefix + name, 5)
    create_topic(kafka_admin, topic_prefix + OUTPUTS[0], 3)
    created = await create_topics(access, topic_prefix)
    assert topic_prefix + INPUTS[0] in created
    async with asyncio.timeout(SECONDS_MAX):  # the broker lists them a little later
        while MISSING in {result.rule for result in await check_topics(access, topic_prefix)}:
            continue
    described = kafka_admin.list_topics(timeout=SECONDS_MAX).topics
    assert {len(described[name].partitions) for name in created} == {5}


async def test_more_copies_than_brokers_are_refused_in_words(
    bootstrap_servers: str, topic_prefix: str
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    with pytest.raises(TopicNotCreated) as raised:
        await create_topics(access, topic_prefix, replication=9)
    rule = "--replication: must be at most the number of brokers"
    assert str(raised.value) == f"{topic_prefix}{INPUTS[0]}: was not created: {rule}"


@pytest.mark.parametrize(
    ("name", "setting", "value", "concern"),
    [
        ("balance-changed.v1", "cleanup.policy", "compact", Concern.RECOVERY),
        ("export-batch.v1", "max.message.bytes", "1048588", Concern.SERVICE),
        ("export-manifest.v1", "retention.ms", "604800000", Concern.RECOVERY),
        ("fine-created.v1", "retention.ms", "604800000", Concern.RECOVERY),
        ("loan-closed.v1", "message.timestamp.type", "CreateTime", Concern.SERVICE),
    ],
)
async def test_a_topic_that_is_set_otherwise_is_named_with_the_rule(
    bootstrap_servers: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
    name: str,
    setting: str,
    value: str,
    concern: Concern,
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    await create_topics(access, topic_prefix, PARTITIONS)
    configure_topic(kafka_admin, topic_prefix + name, setting, value)
    difference = await only_difference(access, topic_prefix)
    assert difference.topic == topic_prefix + name
    assert difference.rule.startswith(f"{setting} must be")
    assert difference.concern is concern


async def test_a_default_of_the_cluster_counts_as_a_setting_of_the_topic_does(
    bootstrap_servers: str, topic_prefix: str, kafka_admin: AdminClient
) -> None:
    """Topics without settings of their own are kept for a week, as the broker's defaults say."""
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    create_topic(kafka_admin, topic_prefix + INPUTS[0])
    await create_topics(access, topic_prefix, PARTITIONS)
    assert str(await only_difference(access, topic_prefix)) == (
        f"{topic_prefix}{INPUTS[0]}: retention.ms must be at least 2592000000 "
        "(30 days, BURSAR_OLDEST_BACKUP_DAYS), or -1"
    )
    assert await check_topics(access, topic_prefix, oldest_backup_days=7) == ()


async def test_settings_that_may_not_be_seen_are_unknown_and_the_right_is_named(
    bootstrap_servers: str, topic_prefix: str, kafka_admin: AdminClient
) -> None:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    await create_topics(access, topic_prefix, PARTITIONS)
    deny_describing_settings(kafka_admin, topic_prefix + "export-batch.v1")
    unknown = await only_difference(access, topic_prefix)
    assert unknown.concern is Concern.UNKNOWN
    assert unknown.topic == topic_prefix + "export-batch.v1"
    assert "DescribeConfigs on the topic" in unknown.rule
