"""What did not happen shows: late runs, batches without an answer, sources that are silent."""

from __future__ import annotations

import pytest

from service.apply.operator_actions import Justification
from service.apply.poll import Sender
from service.apply.tally import Sources
from service.operations.counts import Counts
from service.operations.pauses import pause, resume
from service.operations.standing import (
    Standing,
    profile_standings,
    silent_sources,
    unanswered_batches,
)
from service.runtime.telemetry import Metrics
from service.settings.parts import StandingLimits
from tests.support.exports import only, profiles_with
from tests.support.guards import Unguarded
from tests.support.write_path import PREFIX, WritePath, fine, payment, response

CONTRACTS = ("fine-created.v1", "bursar-payment.v1")
TOPICS = {name: PREFIX + name for name in CONTRACTS}
CONTRACT_OF = {topic: contract for contract, topic in TOPICS.items()}
LABELS = {"profile": "bursar"}
HOURLY = profiles_with(50, more="interval_seconds = 3600")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def standing(path: WritePath, metrics: Metrics) -> Standing:
    """Of an instance that runs nothing itself."""
    limits = StandingLimits(
        run_late_seconds_max=1_800, unanswered_batch_days=14, silent_source_days=14
    )
    return Standing(path.pool, metrics, HOURLY, TOPICS, limits)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    result = metrics.registry.get_sample_value(name, labels or LABELS)
    assert result is not None
    return result


async def earlier(path: WritePath, by: str) -> None:
    """As if everything so far had been that long ago."""
    await path.pool.execute(f"UPDATE profile_seen SET since = since - interval '{by}'")
    await path.pool.execute(f"UPDATE export_run SET cutoff = cutoff - interval '{by}'")
    await path.pool.execute(f"UPDATE export_run_end SET ended_at = ended_at - interval '{by}'")


async def test_a_run_moves_the_gauges_whoever_runs_it(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    await path.take(fine(), fine(fine_id="F-2", exportable=False))
    await standing.run_once()
    assert value(metrics, "bursar_run_ended_timestamp_seconds") == 0
    assert value(metrics, "bursar_run_overdue") == 0, "the profile is not known yet"
    await path.exports(HOURLY).run_profile(only(HOURLY))  # as the command does
    await standing.run_once()
    now = await path.value("SELECT extract(EPOCH FROM clock_timestamp())::bigint")
    assert isinstance(now, int)
    assert now - 60 < value(metrics, "bursar_run_ended_timestamp_seconds") <= now
    assert value(metrics, "bursar_run_age_seconds") < 60
    held = {"profile": "bursar", "reason": "not_exportable"}
    assert value(metrics, "bursar_held_back", **held) == 1
    await path.pool.execute("UPDATE fine SET exportable = true")
    await path.exports(HOURLY).run_profile(only(HOURLY))
    await standing.run_once()
    assert value(metrics, "bursar_held_back", **held) == 0, "the last run held nothing back"
    paused = {**held, "reason": "paused"}
    assert metrics.registry.get_sample_value("bursar_held_back", paused) is None, "no run counts it"


async def test_a_run_is_overdue_when_its_time_and_the_grace_are_over(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    assert await path.exports(HOURLY).run_once() == 0  # the profile is seen, and runs empty
    for by, overdue in (("80 minutes", 0), ("11 minutes", 1)):
        await earlier(path, by)
        await standing.run_once()
        assert value(metrics, "bursar_run_overdue") == overdue
    assert value(metrics, "bursar_run_age_seconds") == pytest.approx(91 * 60, abs=60)
    await path.exports(HOURLY).run_once()
    await standing.run_once()
    assert value(metrics, "bursar_run_overdue") == 0


async def test_a_paused_profile_is_not_overdue(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    await path.exports(HOURLY).run_once()
    await earlier(path, "3 hours")
    key, justification = ("6050", "bursar"), Justification("ann", "year end")
    for decide, overdue in ((pause, 0), (resume, 1)):
        assert (await decide(path.applier, key, justification)).done
        await standing.run_once()
        assert value(metrics, "bursar_run_overdue") == overdue


async def test_an_open_run_that_does_not_end_is_overdue(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    """It began in time; it is its end that counts."""
    await path.exports(HOURLY).run_once()
    await path.pool.execute("DELETE FROM export_run_end")
    await path.pool.execute("UPDATE export_run SET state = 'open'")
    await earlier(path, "3 hours")
    await standing.run_once()
    assert value(metrics, "bursar_run_overdue") == 1
    assert value(metrics, "bursar_run_ended_timestamp_seconds") == 0


async def test_a_run_that_an_older_release_closed_counts_from_its_cutoff(path: WritePath) -> None:
    await path.exports(HOURLY).run_once()
    await path.pool.execute("DELETE FROM export_run_end")
    async with path.pool.acquire() as connection:
        (profile_standing,) = await profile_standings(connection, HOURLY.profiles, 1_800)
    assert profile_standing.ended_at == await path.value("SELECT cutoff FROM export_run")


async def test_a_profile_that_only_commands_run_is_never_overdue(path: WritePath) -> None:
    by_hand = profiles_with(50)
    await path.exports(HOURLY).run_once()
    await earlier(path, "900 days")
    async with path.pool.acquire() as connection:
        (profile_standing,) = await profile_standings(connection, by_hand.profiles, 60)
    assert not profile_standing.is_overdue


async def test_a_batch_is_unanswered_until_a_response_or_a_payment_comes(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    for number in (1, 2, 3):
        await path.take(fine(fine_id=f"F-{number}"))
        await path.exports(HOURLY).run_profile(only(HOURLY))
    await path.pool.execute("ALTER TABLE export_batch DISABLE TRIGGER USER")
    await path.pool.execute("UPDATE export_batch SET sealed_at = sealed_at - interval '15 days'")
    await path.take(response(batch_number=1), payment(fine_id="F-3"))
    async with path.pool.acquire() as connection:
        (unanswered_batch,) = await unanswered_batches(connection, HOURLY.profiles, 14)
        assert (
            unanswered_batch.profile,
            unanswered_batch.batch_number,
            unanswered_batch.age_days,
        ) == ("bursar", 2, 15)
        assert await unanswered_batches(connection, HOURLY.profiles, 16) == []
        export_only = profiles_with(50, mode="export_only").profiles
        assert await unanswered_batches(connection, export_only, 14) == []
    await standing.count_days()
    assert value(metrics, "bursar_batches_unanswered") == 1
    await path.take(response(batch_number=2, response_id="R-2"))
    await standing.count_days()
    assert value(metrics, "bursar_batches_unanswered") == 0


async def test_a_source_is_silent_when_nothing_came_for_days(
    path: WritePath, metrics: Metrics, standing: Standing
) -> None:
    sources = Sources()
    records = (fine(), payment(), payment(source="ERP"), payment(source="ERP", payment_id="PAY-2"))
    sources.note((await path.poll(records)).senders(CONTRACT_OF))
    counts = Counts(Unguarded(path.pool), metrics, sources)
    await counts.write_sources()
    await path.pool.execute("UPDATE source_seen SET seen_at = seen_at - interval '15 days'")
    sources.note((await path.poll([payment(source="ERP")])).senders(CONTRACT_OF))
    await counts.write_sources()
    async with path.pool.acquire() as connection:
        silent = await silent_sources(connection, 14)
    assert {result.sender: result.age_days for result in silent} == {
        Sender("6050", "fine-created.v1", "any"): 15,
        Sender("6050", "bursar-payment.v1", "SAP"): 15,
    }
    await standing.count_days()
    for topic, count in ((TOPICS["fine-created.v1"], 1), (TOPICS["bursar-payment.v1"], 1)):
        assert value(metrics, "bursar_sources_silent", topic=topic) == count


async def test_senders_that_could_not_be_written_are_written_later(path: WritePath) -> None:
    sources = Sources()
    sources.note((await path.poll([payment()])).senders(CONTRACT_OF))
    counts = Counts(Unguarded(path.pool), Metrics(), sources)
    await path.pool.execute("ALTER TABLE source_seen RENAME TO away")
    with pytest.raises(Exception, match="source_seen"):
        await counts.write_sources()
    await path.pool.execute("ALTER TABLE away RENAME TO source_seen")
    await counts.write_sources()
    assert await path.value("SELECT source FROM source_seen") == "SAP"
