"""Bad records in a row stop a topic, for an institution or for all (rules.md, 7)."""

from __future__ import annotations

import asyncio
from itertools import chain

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.apply.breaker import TopicsStopped
from service.apply.poll import Poll, Report
from service.core.breaker import REMEMBERED_MAX
from service.database import offsets
from service.operations.gauges import Gauges
from service.runtime.telemetry import Metrics
from tests.support.deciding import PROFILE
from tests.support.exports import waiters
from tests.support.stopping import (
    MAX,
    PAYMENTS,
    bad,
    payments_known,
    pays,
    stopped,
    stops_after,
)
from tests.support.write_path import WritePath, change, fine, record, write_path


async def applied_beside(path: WritePath, first: Poll, other: WritePath, second: Poll) -> Report:
    """What became of `second`, which waits for the counts of `first` until that has committed; both
    have asked for stops before.
    """
    async with path.applier.writer.transaction() as connection:
        await path.applier._apply_once(connection, first)
        applying = asyncio.create_task(other.apply(second))
        await waiters(path, 1)
    return await applying


async def test_row_7_1_an_institution_is_stopped_and_the_others_go_on(path: WritePath) -> None:
    stops_after(path)
    with capture_logs() as logs:
        report = await path.take(
            *(bad(number=n) for n in range(MAX)), pays("A"), pays("B", "77"), pays("C")
        )
    assert report.outcomes == {
        "rejected:invalid_amount": MAX,
        "parked:unknown_fine": 1,
        "parked:intake_stopped": 2,
    }
    assert await stopped(path) == ["6050"]
    assert await payments_known(path) == ["B"]
    assert report.assignments[0].next_offset == MAX + 3
    (line,) = [entry for entry in logs if entry["event"] == "intake_stopped"]
    assert (line["institution_id"], line["bad_records"]) == ("6050", MAX)
    assert (line["reason"], line["log_level"]) == ("invalid_amount", "error")


async def test_row_7_1_what_a_rule_rejects_counts_as_well_and_binds_no_more_ids(
    path: WritePath,
) -> None:
    """The ids of these payments can be used again once the sender knows the right lines."""
    stops_after(path)
    line = "10000000018"
    await path.take(
        *(pays(f"P-{n}", fine_id=None, bursar_transaction_id=line) for n in range(MAX + 2))
    )
    assert await payments_known(path) == ["P-0", "P-1", "P-2"]
    assert await path.value("SELECT count(*) FROM stopped_record") == 2


async def test_row_7_1_what_its_fine_does_not_allow_stops_nothing(path: WritePath) -> None:
    stops_after(path)
    await path.take(fine(), change(kind="cancelled", amount=None, currency=None))
    report = await path.take(
        *(change(change_id=f"C-{n}", kind="waived", amount="1.00") for n in range(2, 9))
    )
    assert report.outcomes == {"rejected:already_closed": 7}
    assert await stopped(path) == []
    assert await path.value("SELECT count(*) FROM bad_count") == 0


@pytest.mark.parametrize("size", [1, 2, 4, 100])
async def test_row_7_1_the_stop_is_the_same_however_polls_are_cut(
    path: WritePath, size: int
) -> None:
    stops_after(path)
    history = [bad(), pays("A"), bad(), pays("O", "77"), bad(), bad(), pays("B"), pays("P", "77")]
    await path.take_in_polls(history, size)
    assert await stopped(path) == ["6050"]
    assert await payments_known(path) == ["A", "O", "P"]
    (waiting,) = await path.rows("SELECT record_offset FROM stopped_record")
    assert waiting["record_offset"] == 6


async def test_a_sound_record_leaves_no_count_behind(path: WritePath) -> None:
    stops_after(path)
    for _ in range(3):
        await path.take(bad(), bad())
        assert await path.value("SELECT in_a_row FROM bad_count") == 2
        await path.take(pays("A"))
        assert await path.value("SELECT count(*) FROM bad_count") == 0
    assert await stopped(path) == []


async def test_institutions_that_nobody_knows_leave_few_counts_behind(path: WritePath) -> None:
    """Each comes once, between sound records, and never again."""
    stops_after(path)
    for first in range(0, 2 * REMEMBERED_MAX, 50):
        some = ((bad(f"8{number:03}"), pays(f"P-{number}")) for number in range(first, first + 50))
        await path.take(*chain.from_iterable(some))
    assert await path.value("SELECT count(*) FROM bad_count") == REMEMBERED_MAX + 1
    await path.take(bad("77"), bad("77"), pays("O"), bad("77"))
    assert await stopped(path) == ["77"]


async def test_row_7_1_a_poll_that_was_under_way_when_another_stops_the_topic_waits(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for each in (path, other):
            stops_after(each)
        first, second = await path.poll([bad() for _ in range(MAX)]), await other.poll([bad()] * 2)
        report = await applied_beside(path, first, other, second)
    assert report.outcomes == {"parked:intake_stopped": 2}
    assert await path.value("SELECT count(*) FROM rejected") == MAX
    assert await stopped(path) == ["6050"]


async def test_row_7_2_a_poll_under_way_when_another_stops_the_topic_for_all_is_left_in_kafka(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for each in (path, other):
            stops_after(each)
        await path.take(bad(None))
        first, second = await path.poll([bad(None)] * (MAX - 1)), await other.poll([bad(None)])
        report = await applied_beside(path, first, other, second)
    assert [type(hold.error) for hold in report.held.values()] == [TopicsStopped]
    assert await path.value("SELECT count(*) FROM rejected") == MAX


async def test_row_7_1_two_instances_and_a_restart_count_together(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for each in (path, other):
            stops_after(each)
            await each.take(bad())
        stops_after(path)  # started again
        await path.take(bad())
        assert await stopped(path) == ["6050"]
        await other.take(pays("A"))
    assert await payments_known(path) == []


async def test_row_7_1_two_instances_at_the_same_instant_lose_no_count(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for each in (path, other):
            stops_after(each, 10)
        await asyncio.gather(*(each.take(bad(), bad()) for each in (path, other)))
        assert await path.value("SELECT in_a_row FROM bad_count") == 4


async def test_row_7_2_records_without_an_institution_stop_the_topic_for_all(
    path: WritePath,
) -> None:
    stops_after(path)
    report = await path.take(
        *[bad(None)] * MAX, pays("A"), pays("B", "77"), fine(), change(kind="disputed")
    )
    assert await stopped(path) == ["all"]
    assert await payments_known(path) == []
    assert await path.value("SELECT count(*) FROM fine") == 1  # the other topics go on
    ends = {part.topic: part.next_offset for part in report.assignments}
    assert ends[PAYMENTS] == MAX
    assert {topic for topic, _ in report.held} == {PAYMENTS}
    assert all(isinstance(hold.error, TopicsStopped) for hold in report.held.values())


async def test_row_7_4_nothing_of_the_topic_is_taken_and_no_offset_moves(path: WritePath) -> None:
    stops_after(path)
    await path.take(*[bad(None)] * MAX)
    for _ in range(2):
        report = await path.take(pays("A"), fine())
        assert (PAYMENTS, 0) in report.held
    assert await payments_known(path) == []
    assert await path.value("SELECT count(*) FROM stopped_record") == 0
    query = "SELECT next_offset FROM consumer_offset WHERE topic = $1"
    assert await path.value(query, PAYMENTS) == MAX


async def test_row_7_2_one_bad_institution_and_others_beside_it_stop_no_topic(
    path: WritePath,
) -> None:
    stops_after(path)
    for n in range(5):
        await path.take(*(bad(number=n) for n in range(MAX)), pays(f"P-{n}", "77"))
    assert await stopped(path) == ["6050"]
    assert len(await payments_known(path)) == 5


async def test_row_7_8_a_fine_whose_change_waits_is_not_exported(path: WritePath) -> None:
    stops_after(path)
    await path.take(fine(), fine(fine_id="F-2", loan_id="L-2"))
    await path.take(*[record("fine-changed.v1", {"institution_id": "6050"})] * MAX)
    await path.take(change(fine_id="F-1"))
    await path.export(PROFILE)
    rows = await path.rows("SELECT fine_id FROM export_line")
    assert [row["fine_id"] for row in rows] == ["F-2"]


async def test_with_0_nothing_stops_and_what_was_counted_is_forgotten(path: WritePath) -> None:
    stops_after(path)
    await path.take(bad())
    stops_after(path, 0)
    await path.take(*(bad(number=n) for n in range(10)))
    assert await stopped(path) == []
    assert await path.value("SELECT count(*) FROM bad_count") == 0


async def test_an_older_release_moves_no_offset_of_a_stopped_topic(path: WritePath) -> None:
    """It does not know the stops, and takes the topic for one that another session holds."""
    stops_after(path)
    await path.take(fine(), *(bad(number=n) for n in range(MAX)))
    older = "UPDATE consumer_offset SET next_offset = next_offset + 1 WHERE topic = $1"
    with pytest.raises(asyncpg.LockNotAvailableError, match="bursar-bridge intake list"):
        await path.pool.execute(older, PAYMENTS)
    await path.pool.execute(older, "library.fine-created.v1")
    async with path.pool.acquire() as connection:  # a new owner is no move
        await offsets.take_over(connection, [(PAYMENTS, 0)])


async def test_the_gauge_counts_the_stops_of_each_topic(path: WritePath) -> None:
    metrics = Metrics()
    topics = [PAYMENTS, "library.fine-created.v1"]
    gauges = Gauges(path.pool, metrics, topics=topics)
    stops_after(path)
    for expected in (0, 1):
        await gauges.run_once()
        values = [value(metrics, "intake_stops", topic=topic) for topic in topics]
        assert values == [expected, 0]
        await path.take(*(bad(number=n) for n in range(MAX)), pays("A"))
    await gauges.run_once()
    assert value(metrics, "parked", wait="intake_stopped") == MAX + 2


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"bursar_{name}", labels)
