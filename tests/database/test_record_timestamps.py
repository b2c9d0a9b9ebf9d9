"""A record without a time is decided with the timestamp of its Kafka record, whenever that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.apply.poll import Poll
from service.core.events import FailedRecord
from service.operations import parked, rejected
from tests.support.deciding import WHY, done, parked_now, rejected_now
from tests.support.inputs import fine_created
from tests.support.write_path import Record, WritePath, fine, record

STAMPED_MS = 1_788_253_205_512
STAMPED = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=STAMPED_MS)


def without_time(item: Record, timestamp_ms: int | None = STAMPED_MS) -> Record:
    headers = tuple(header for header in item.headers if header[0] != "ce_time")
    return item._replace(headers=headers, timestamp_ms=timestamp_ms)


def named(name: str, fine_id: str) -> Record:
    patron = {"patron_id": "P-1", "name": name, "user_group": "", "identifiers": []}
    return fine(fine_id=fine_id, patron=patron)


async def snapshot_time(path: WritePath) -> object:
    return await path.value("SELECT seen_at FROM patron")


async def rejected_for_its_json(path: WritePath) -> Record:
    """A record that was rejected, and of which the bytes are sound by now."""
    sound = without_time(named("Doe, Jane", "F-1"))
    await path.take(sound._replace(value=b"{"))
    await path.pool.execute("UPDATE rejected SET record_value = $1", sound.value)
    return sound


async def test_the_timestamp_of_the_record_counts_when_it_is_read(path: WritePath) -> None:
    await path.take(without_time(named("Doe, Jane", "F-1")))
    assert await snapshot_time(path) == STAMPED
    await path.take(without_time(named("Maiden, Jane", "F-2"), STAMPED_MS - 1))
    await path.take(without_time(named("Roe, Jane", "F-3"), STAMPED_MS + 1))
    await path.take(without_time(named("Nobody, Jane", "F-4"), None))
    assert await path.value("SELECT name FROM patron") == "Roe, Jane"


async def test_a_replay_has_the_timestamp_of_the_record(path: WritePath) -> None:
    await rejected_for_its_json(path)
    (item,) = await rejected_now(path)
    assert done(await rejected.replay(path.applier, item, WHY)) == "applied"
    assert await snapshot_time(path) == STAMPED


async def test_a_record_that_an_earlier_release_has_rejected_counts_from_then(
    path: WritePath,
) -> None:
    await rejected_for_its_json(path)
    await path.pool.execute(
        "UPDATE rejected SET record_timestamp_ms = NULL, recorded_at = $1", STAMPED
    )
    (item,) = await rejected_now(path)
    assert done(await rejected.replay(path.applier, item, WHY)) == "applied"
    assert await snapshot_time(path) == STAMPED


async def fails_on(path: WritePath, item: Record) -> None:
    """The program fails on the record, which is parked with its bytes."""
    poll = await path.poll([item])
    origin = poll.records[0].origin
    await path.apply(Poll((FailedRecord(origin, "6050", "Mistake"),), poll.assignments))


async def test_a_record_on_which_the_program_failed_is_released_with_its_timestamp(
    path: WritePath,
) -> None:
    await fails_on(path, without_time(record("fine-created.v1", fine_created())))
    (item,) = await parked_now(path)
    assert done(await parked.release(path.applier, item, WHY)) == "applied"
    assert await snapshot_time(path) == STAMPED


async def test_of_a_row_of_an_earlier_release_the_time_of_its_parking_counts(
    path: WritePath,
) -> None:
    await fails_on(path, without_time(record("fine-created.v1", fine_created())))
    await path.pool.execute(
        "UPDATE parked_error SET record_timestamp_ms = NULL, recorded_at = $1", STAMPED
    )
    (item,) = await parked_now(path)
    assert done(await parked.release(path.applier, item, WHY)) == "applied"
    assert await snapshot_time(path) == STAMPED
