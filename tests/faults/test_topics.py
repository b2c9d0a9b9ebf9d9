"""Topics lose their records, are deleted or made anew, or refuse records, under load."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from zlib import crc32

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.ends import until_ended
from tests.faults.operator import until_logged, until_named, until_well
from tests.faults.stage import PARTITIONS, QUIET_SECONDS_MAX, Stage
from tests.support.load_audit import compare_ledger
from tests.support.load_events import Event, take_all
from tests.support.process import connected
from tests.support.topics import (
    Read,
    configure_topic,
    create_topic,
    delete_records,
    delete_topic,
    end_offsets,
    forget_group,
)

FINES, CHANGES, BALANCES = "fine-created.v1", "fine-changed.v1", "balance-changed.v1"
NAMES = ("one", "two")
EVENTS = 1_000
FAILED = 1  # the exit code
RECORD_OVERHEAD = 70  # of a record alone in its batch, about
QUARANTINED_MIN = 3
SENT_MIN = 20  # whose sizes say what is large


async def until_stopped(stage: Stage, text: str) -> None:
    """Each instance ends by itself and says why, and again when it is started again."""
    members = [stage.members[name] for name in NAMES]
    assert set(await until_ended(stage, *members, times=2)) == {FAILED}
    for member in members:
        await member.close()
        texts = [str(e["text"]) for e in stage.site.log(member.name) if e["event"] == "failed"]
        assert [each for each in texts[-2:] if text not in each] == []


def sequences(records: Iterable[Read]) -> dict[tuple[str, str, str], set[int]]:
    """The numbers of each account's transactions in these records."""
    numbers: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for record in records:
        event = json.loads(record.value or b"")
        account = event["institution_id"], event["patron_id"], event["currency"]
        numbers[account].add(event["sequence"])
    return numbers


@pytest.mark.slow
@pytest.mark.fault("output-topic-gone")
async def test_an_output_topic_that_is_gone_is_named_and_written_again_when_it_is_back(
    stage: Stage, kafka_admin: AdminClient
) -> None:
    """What was in the topic is lost with it; what comes meanwhile waits, and nothing is skipped."""
    await stage.start(*NAMES)
    events, topic = stage.load.first_half(EVENTS), stage.site.topic(BALANCES)
    await stage.take(events[: EVENTS // 2])
    await stage.until_quiet()
    before = sequences(stage.site.records(BALANCES))

    stage.row.count("output topic deleted")
    await asyncio.to_thread(delete_topic, kafka_admin, topic)
    await stage.take(events[EVENTS // 2 :])  # the intake and the other topics go on
    words = f"{topic} (the cluster does not have it)"
    await until_named(stage, "output_topics", words, by_all=False)
    stage.row.in_flight.append((await stage.work()).queued)
    create_topic(kafka_admin, topic, PARTITIONS)
    await stage.until_quiet()
    await until_well(stage)

    after = sequences(stage.site.records(BALANCES))
    for row in await stage.site.rows("SELECT * FROM account"):
        account = (str(row["institution_id"]), str(row["patron_id"]), str(row["currency"]))
        numbers = before.get(account, set()) | after.get(account, set())
        assert numbers == set(range(1, int(str(row["sequence"])) + 1)), account
    stage.row.judged["streams"] = True
    await judge_ledger(stage)


@pytest.mark.slow
@pytest.mark.fault("records-deleted")
async def test_records_deleted_unread_stop_the_service_and_are_repeated(
    stage: Stage, kafka_admin: AdminClient, bootstrap_servers: str
) -> None:
    """As the runbook says: the sender repeats them, and the offset goes to the first one there."""
    await stage.start(*NAMES, restart=True)
    events, topic = stage.load.first_half(EVENTS), stage.site.topic(FINES)
    await stage.take(events[: EVENTS // 2])
    for name in NAMES:
        assert await stage.members[name].stop() == 0
    rest = events[EVENTS // 2 :]
    take_all(stage.model, rest)
    stage.publisher.put(rest)
    stage.row.in_flight.append(len(rest))
    lost = [event for event in rest if event.contract == FINES and partition_of(event) == 0]
    end = end_offsets(bootstrap_servers, topic)[0]
    stage.row.count("record deleted unread", len(lost))
    delete_records(kafka_admin, topic, {0: end})

    applied = (await stage.work()).applied
    for name in NAMES:
        await stage.members[name].start()
    await until_stopped(stage, "records were deleted before they were read")
    assert (await stage.work()).applied == applied, "nothing is skipped"
    stage.publisher.put(lost)
    async with connected(stage.site.database_url) as connection:
        await connection.execute(
            "UPDATE consumer_offset SET next_offset = $2 WHERE topic = $1 AND partition = 0",
            *(topic, end),
        )
    for name in NAMES:
        await stage.members[name].start()
    await stage.until_quiet()
    await until_well(stage)
    await judge_ledger(stage)


@pytest.mark.slow
@pytest.mark.fault("input-topic-made-anew")
async def test_an_input_topic_made_anew_stops_the_service_until_a_person_decides(
    stage: Stage, kafka_admin: AdminClient
) -> None:
    """As the runbook says: its rows of consumer_offset are deleted, and the group's offsets too."""
    await stage.start(*NAMES, restart=True)
    events, topic = stage.load.first_half(EVENTS), stage.site.topic(CHANGES)
    await stage.take(events[: EVENTS // 2])
    await stage.until_quiet()
    rest = events[EVENTS // 2 :]
    take_all(stage.model, rest)

    stage.row.in_flight.append(len(rest))
    stage.row.count("input topic made anew")
    feeding = asyncio.create_task(
        asyncio.to_thread(stage.publisher.put, [e for e in rest if e.contract != CHANGES])
    )
    await asyncio.to_thread(delete_topic, kafka_admin, topic)
    create_topic(kafka_admin, topic, PARTITIONS)
    await feeding
    await until_stopped(stage, "made anew")

    forget_group(kafka_admin, stage.site.group)
    async with connected(stage.site.database_url) as connection:
        read: int = await connection.fetchval(
            "SELECT sum(next_offset)::bigint FROM consumer_offset WHERE topic = $1", topic
        )
        await connection.execute("DELETE FROM consumer_offset WHERE topic = $1", topic)
    stage.publisher.acknowledged -= read
    for name in NAMES:
        await stage.members[name].start()
    stage.publisher.put([event for event in rest if event.contract == CHANGES])
    await stage.until_quiet()
    await until_well(stage)
    await judge_ledger(stage)


@pytest.mark.slow
@pytest.mark.fault("records-too-large")
async def test_records_too_large_for_their_topic_are_put_aside_and_released(
    stage: Stage, kafka_admin: AdminClient
) -> None:
    """The limit of a topic is lowered below what some of its records need. What belongs to the
    others is sent, and when the limit is raised, a person releases what was put aside.
    """
    await stage.start(*NAMES)
    topic = stage.site.topic(BALANCES)

    async def too_large() -> None:
        await stage.until(lambda: are_sent(stage), QUIET_SECONDS_MAX)
        sizes = sorted(map(size_of, stage.site.records(BALANCES)))
        limit = str(sizes[len(sizes) // 2])
        await asyncio.to_thread(configure_topic, kafka_admin, topic, "max.message.bytes", limit)
        await stage.until(lambda: are_quarantined(stage), QUIET_SECONDS_MAX)
        await until_logged(stage, "record_set_aside")
        limit = str(2**20)
        await asyncio.to_thread(configure_topic, kafka_admin, topic, "max.message.bytes", limit)
        await stage.until_progress()
        await stage.until_quiet()
        stage.row.count("record refused", await quarantined(stage))
        why = ("--all", "--yes", "--reason", "the limit is raised")
        await stage.site.command("quarantined", "release", *why)

    await stage.under_load(too_large, EVENTS)


async def quarantined(stage: Stage) -> int:
    """How many records are in quarantine."""
    (row,) = await stage.site.rows("SELECT count(*) AS n FROM outbox_set_aside")
    return int(str(row["n"]))


async def are_sent(stage: Stage) -> bool:
    return len(stage.site.records(BALANCES)) >= SENT_MIN


async def are_quarantined(stage: Stage) -> bool:
    return await quarantined(stage) >= QUARANTINED_MIN


async def judge_ledger(stage: Stage) -> None:
    """Stops the instances, and compares the ledger with the model. The auditor, which reads all
    topics from their start, cannot judge where a topic has lost its records.
    """
    for name in NAMES:
        assert await stage.members[name].stop() == 0
        stage.row.restarts += len(stage.members[name].ends)
    stage.row.judged["model"] = False
    await compare_ledger(stage.site, stage.model)
    stage.row.judged["model"] = True


def partition_of(event: Event) -> int:
    """Where an event is published."""
    return crc32(event.place.encode()) % PARTITIONS


def size_of(record: Read) -> int:
    """About how many bytes a record takes alone in a batch."""
    headers = sum(len(name) + len(value) + 2 for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + RECORD_OVERHEAD
