"""The relay on a real broker: every record in order, nothing lost, refused records set aside."""

from confluent_kafka.admin import AdminClient

from service.database.session import Pool
from service.messages.encode import Message
from service.settings.parts import RelayLimits
from tests.support.relaying import MakeRelay, numbered, plain, queue, until_empty
from tests.support.topics import configure_topic, create_topic, produce, read_topic


async def test_every_record_arrives_once_and_in_the_order_of_its_key(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    records = numbered(1_000)
    await queue(pool, topic, records)
    relay = make_relay(RelayLimits(relay_page_rows_max=3))
    assert sum([await relay.run_once() for _ in range(20)]) == 1_000
    result = read_topic(bootstrap_servers, topic)
    assert sorted(plain(result), key=lambda record: record.value or b"") == records
    for key in {record.key for record in records}:
        values = [read.value for read in result if read.key == key]
        assert values == sorted(value for value in values if value is not None)
        assert len({read.partition for read in result if read.key == key}) == 1
    assert (await relay.status()).rows_waiting == 0


async def test_keys_lie_where_the_java_producer_would_put_them(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, [Message(b"1/patron-%d" % number, b"x") for number in range(50)])
    await until_empty(make_relay())
    ours = {read.key: read.partition for read in read_topic(bootstrap_servers, topic)}
    produce(bootstrap_servers, topic, iter([(key, b"java") for key in ours]), "murmur2_random")
    theirs = {
        r.key: r.partition for r in read_topic(bootstrap_servers, topic) if r.value == b"java"
    }
    assert ours == theirs


async def test_bytes_are_untouched_and_missing_ones_stay_missing(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    records = [
        Message(b"\x00\xff", b"\xfe\x00", (("a", b"\xff"), ("a", b""), ("ü", b"\x00"))),
        Message(None, b"no key"),
        Message(b"no value", None),
        Message(None, None),
        Message(b"", b""),
    ]
    await queue(pool, topic, records)
    await until_empty(make_relay())
    result = plain(read_topic(bootstrap_servers, topic))
    assert sorted(result, key=repr) == sorted(records, key=repr)


async def test_an_acknowledged_offset_is_kept_for_each_output_partition(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, numbered(100))
    await until_empty(make_relay())
    ends: dict[int, int] = {}
    for read in read_topic(bootstrap_servers, topic):
        ends[read.partition] = read.offset
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT partition, acknowledged_offset FROM output_offset")
    assert {row[0]: row[1] for row in rows} == ends


async def test_a_record_too_large_for_the_broker_is_quarantined_and_the_rest_flows(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", "5000")
    records = numbered(200)
    records[77] = records[77]._replace(value=b"x" * 8_000)
    records[140] = records[140]._replace(value=b"y" * 8_000)
    await queue(pool, topic, records, row_bytes=1_000_000)
    relay = make_relay()
    await until_empty(relay)
    result = sorted(plain(read_topic(bootstrap_servers, topic)), key=lambda read: read.value or b"")
    assert result == [record for record in records if len(record.value or b"") < 8_000]
    async with pool.acquire() as connection:
        quarantined = await connection.fetch("SELECT * FROM outbox_set_aside ORDER BY place")
    assert [(row["place"], row["reason"], row["payload"][:1]) for row in quarantined] == [
        (77, "too_large", b"x"),
        (140, "too_large", b"y"),
    ]
    assert (await relay.status()).quarantined == 2


async def test_batches_that_a_topic_finds_too_large_are_cut_smaller_and_nothing_is_quarantined(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", "30000")
    records = [Message(b"one key", b"%06d" % number + b"x" * 994) for number in range(200)]
    await queue(pool, topic, records, row_bytes=1_000_000)
    relay = make_relay()
    await until_empty(relay)
    assert plain(read_topic(bootstrap_servers, topic)) == records
    assert (await relay.status()).quarantined == 0


async def test_a_record_larger_than_a_request_may_be_is_quarantined_without_asking(
    pool: Pool, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    await queue(pool, topic, [Message(b"k", b"x" * 200_000), Message(b"k", b"small")])
    relay = make_relay(RelayLimits(relay_request_bytes_max=100_000))
    await until_empty(relay)
    assert [record.value for record in plain(read_topic(bootstrap_servers, topic))] == [b"small"]
    assert (await relay.status()).quarantined == 1


async def test_a_large_batch_passes_where_the_topic_allows_it(
    pool: Pool, kafka_admin: AdminClient, topic: str, make_relay: MakeRelay, bootstrap_servers: str
) -> None:
    configure_topic(kafka_admin, topic, "max.message.bytes", str(16 * 1024 * 1024))
    await queue(pool, topic, [Message(b"k", b"x" * 9_000_000), Message(b"k", b"small")])
    await until_empty(make_relay())
    assert [read.value for read in read_topic(bootstrap_servers, topic)] == [
        b"x" * 9_000_000,
        b"small",
    ]


async def test_a_missing_topic_keeps_its_rows_while_others_flow_and_heals_when_it_is_made(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    topic_prefix: str,
    make_relay: MakeRelay,
    bootstrap_servers: str,
) -> None:
    missing = f"{topic_prefix}loan-closed.v1"
    await queue(pool, missing, [Message(b"k", b"waits")])
    await queue(pool, topic, [Message(b"k", b"flows")])
    relay = make_relay()
    assert await relay.run_once() == 1
    assert [read.value for read in read_topic(bootstrap_servers, topic)] == [b"flows"]
    assert (await relay.status()).rows_waiting == 1
    waits = "records cannot be sent, and wait"
    assert relay.topics_problem() == f"{waits}: {missing} (the cluster does not have it)"
    create_topic(kafka_admin, missing)
    await until_empty(relay)
    assert relay.topics_problem() is None
    assert [read.value for read in read_topic(bootstrap_servers, missing)] == [b"waits"]
    assert (await relay.status()).quarantined == 0


async def test_the_bytes_of_a_batch_wait_for_its_manifest(
    pool: Pool,
    kafka_admin: AdminClient,
    topic: str,
    topic_prefix: str,
    make_relay: MakeRelay,
    bootstrap_servers: str,
) -> None:
    """The manifest names the fines, so it must not be lost while the bytes are loaded."""
    documents, manifests = (f"{topic_prefix}export-{part}.v1" for part in ("batch", "manifest"))
    create_topic(kafka_admin, documents)
    await queue(pool, manifests, [Message(b"k", b"manifest")])
    await queue(pool, documents, [Message(b"k", b"bytes")])
    await queue(pool, topic, [Message(b"k", b"flows")])
    relay = make_relay()
    for sent in (1, 0):  # the second time the topic of the manifests is known to be missing
        assert await relay.run_once() == sent
        assert read_topic(bootstrap_servers, documents) == []
    create_topic(kafka_admin, manifests)
    await until_empty(relay)
    assert [read.value for read in read_topic(bootstrap_servers, documents)] == [b"bytes"]
