"""A stopped topic is resumed: what waits is taken in its order (rules.md, 7)."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.core import rules
from service.operations import parked
from service.operations.intake_stops import TakeStopped, resume
from service.operations.parked_records import ParkedFilter
from tests.support.failing import fails_for
from tests.support.stopping import (
    MAX,
    PAYMENTS,
    WHY,
    bad,
    payments_known,
    pays,
    resumed,
    stopped,
    stops_after,
    stops_of,
    take_waiting,
)
from tests.support.write_path import WritePath, fine, outbox_of, record, write_path

IDS = [f"P-{number:02}" for number in range(12)]


@pytest.fixture
async def stopped_path(path: WritePath) -> WritePath:
    """Payments of 6050 are stopped, and twelve of them wait."""
    stops_after(path)
    await path.take(*(bad(number=n) for n in range(MAX)))
    await path.take_in_polls([pays(each, fine_id=f"F-{each}") for each in IDS], 5)
    assert await payments_known(path) == []
    return path


async def test_row_7_5_what_waits_is_taken_in_its_order_before_anything_newer(
    stopped_path: WritePath,
) -> None:
    path = stopped_path
    result = await resumed(path, "6050")
    assert (result.done, result.outcome) == (True, "resumed, records that wait: 12")
    await path.take(pays("LATER"))  # the service has not taken the others yet
    assert await payments_known(path) == []
    assert await take_waiting(path) == 13
    order = await path.rows("SELECT id FROM parked ORDER BY arrival")
    assert [row["id"] for row in order] == [*IDS, "LATER"]
    assert await stopped(path) == []
    await path.take(pays("NOW"))
    assert "NOW" in await payments_known(path)


async def test_row_7_5_a_repeat_that_waits_is_a_repeat(stopped_path: WritePath) -> None:
    await stopped_path.take(pays(IDS[0], fine_id=f"F-{IDS[0]}"))
    await resumed(stopped_path, "6050")
    assert await take_waiting(stopped_path) == 13
    assert await payments_known(stopped_path) == IDS


async def test_row_7_5_bad_records_among_them_stop_it_again_and_the_rest_waits_on(
    path: WritePath,
) -> None:
    stops_after(path)
    await path.take(*(bad(number=n) for n in range(3 * MAX)), pays("LAST"))
    for left in (MAX + 1, 1):
        await resumed(path, "6050")
        await take_waiting(path)
        assert await stopped(path) == ["6050"]
        assert await path.value("SELECT count(*) FROM stopped_record") == left
    assert (await stops_of(path))[0].resumed_at is None
    await resumed(path, "6050")
    await take_waiting(path)
    assert await stopped(path) == []
    assert await payments_known(path) == ["LAST"]


async def test_row_7_7_a_person_may_allow_more_bad_records(path: WritePath) -> None:
    stops_after(path)
    await path.take(*(bad(number=n) for n in range(20)), pays("LAST"))
    await resumed(path, "6050", bad_records=100)
    assert await take_waiting(path) == 20 - MAX + 1
    assert await stopped(path) == []
    assert await path.value("SELECT count(*) FROM bad_count") == 0


async def test_row_7_6_a_topic_is_read_on_from_where_it_was_left(path: WritePath) -> None:
    stops_after(path)
    await path.take(*[bad(None)] * MAX)
    await path.take(pays("A"))
    result = await resumed(path)
    assert (result.done, result.outcome) == (True, "resumed")
    await path.take(pays("A"))  # Kafka has it still
    assert await payments_known(path) == ["A"]
    await path.take(*[bad(None)] * MAX)
    assert await stopped(path) == ["all"]


async def test_row_7_7_for_a_topic(path: WritePath) -> None:
    stops_after(path)
    await path.take(*[bad(None)] * MAX)
    await resumed(path, bad_records=50)
    await path.take(*[bad(None)] * 49)
    assert await stopped(path) == []
    await path.take(bad(None))
    assert await stopped(path) == ["all"]


async def test_row_7_9_what_is_discarded_leaves_its_id_free(stopped_path: WritePath) -> None:
    path = stopped_path
    async with path.pool.acquire() as connection:
        items = await parked.find(connection, ParkedFilter(institution_id="6050"))
    assert [item.id for item in items] == IDS
    release = await parked.release(path.applier, items[0], WHY)
    assert (release.done, "intake resume" in release.outcome) == (False, True)
    for item in items:
        assert (await parked.discard(path.applier, item, WHY)).outcome == "discarded"
    await resumed(path, "6050")
    await take_waiting(path)
    assert await payments_known(path) == []
    report = await path.take(pays(IDS[0], amount="1.00"))
    assert report.outcomes == {"parked:unknown_fine": 1}
    query = "SELECT count(*) FROM rejected WHERE reason = 'discarded' AND state = 'discarded'"
    assert await path.value(query) == len(IDS)


async def test_a_resumption_is_recorded_and_published(stopped_path: WritePath) -> None:
    await resumed(stopped_path, "6050", bad_records=7)
    (action,) = await stopped_path.rows("SELECT action, institution_id FROM operator_action")
    assert action == {"action": "intake_resume", "institution_id": "6050"}
    (sent,) = await outbox_of(stopped_path.pool, "operator-action.v1")
    assert sent.data["subject"] == {"topic": PAYMENTS, "institution_id": "6050"}
    assert sent.data["details"] == {"bad_records_max": 7}
    assert "a test" not in json.dumps(sent.data)


async def test_what_was_resumed_cannot_be_resumed_again(stopped_path: WritePath) -> None:
    (state,) = await stops_of(stopped_path)
    assert (await resumed(stopped_path, "6050")).done
    again = await resume(stopped_path.applier, state, WHY, None, MAX)
    assert (again.done, again.outcome) == (False, "is not stopped, or was resumed already")


async def test_two_instances_take_each_record_once_and_in_order(
    stopped_path: WritePath, database_url: str
) -> None:
    await resumed(stopped_path, "6050")
    async with write_path(database_url, partition=1) as other:
        stops_after(other)
        works = [TakeStopped(each.applier).run_once() for each in (stopped_path, other)]
        assert sum(await asyncio.gather(*works)) == len(IDS)
        await take_waiting(other)
    order = await stopped_path.rows("SELECT id FROM parked ORDER BY arrival")
    assert [row["id"] for row in order] == IDS
    assert await stopped(stopped_path) == []


async def test_of_two_instances_none_goes_on_behind_bad_records_that_stop_it_again(
    path: WritePath, database_url: str
) -> None:
    stops_after(path)
    await path.take(*(bad(number=n) for n in range(5 * MAX)))
    await resumed(path, "6050")
    async with write_path(database_url, partition=1) as other:
        stops_after(other)
        works = [TakeStopped(each.applier).run_once() for each in (path, other)]
        assert sum(await asyncio.gather(*works)) == MAX
    assert await path.value("SELECT count(*) FROM stopped_record") == 3 * MAX
    assert await stopped(path) == ["6050"]


async def test_records_that_come_while_others_are_taken_stay_behind_them(
    stopped_path: WritePath, database_url: str
) -> None:
    """The commit that ends the stop waits for the commits that still put records behind it."""
    path = stopped_path
    await resumed(path, "6050")
    ids = [f"Q-{number:02}" for number in range(30)]

    async def come() -> None:
        for each in ids:
            await path.take(pays(each, fine_id="F-Q"))

    async with write_path(database_url, partition=1) as other:
        stops_after(other)
        coming = asyncio.create_task(come())
        while not coming.done():
            await TakeStopped(other.applier).run_once()
        await coming
        await take_waiting(other)
        await take_waiting(other)
    order = await path.rows("SELECT id FROM parked ORDER BY arrival")
    assert [row["id"] for row in order] == [*IDS, *ids]
    assert await stopped(path) == []


async def test_a_record_on_which_the_program_fails_is_parked_and_the_others_taken(
    stopped_path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await resumed(stopped_path, "6050")
    failing = fails_for(f"'{IDS[4]}'", rules._take_parkable)
    monkeypatch.setattr(rules, "_take_parkable", failing)
    await take_waiting(stopped_path)
    assert await payments_known(stopped_path) == [each for each in IDS if each != IDS[4]]
    assert await stopped_path.value("SELECT count(*) FROM parked_error") == 1
    assert await stopped(stopped_path) == []


async def test_a_fine_and_its_change_that_waited_are_decided_in_turn(path: WritePath) -> None:
    stops_after(path)
    await path.take(*[record("fine-created.v1", {"institution_id": "6050"})] * MAX)
    await path.take(fine(), pays("A"))
    assert await path.value("SELECT count(*) FROM fine") == 0
    (state,) = await stops_of(path)
    await resume(path.applier, state, WHY, None, MAX)
    await take_waiting(path)
    assert await path.value("SELECT count(*) FROM fine") == 1
