"""What is committed is counted once, by whoever committed it: intake, sweep, export or command."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from service.apply.applier import Applier
from service.apply.operator_actions import Justification
from service.apply.tally import Sources, TallyInDatabase, TallyInMetrics, TallyMetric
from service.database.ledger_read import LedgerReader
from service.export.failures import RunFailed
from service.export.job import ExportJob
from service.messages.decode import parse
from service.operations import parked
from service.operations.counts import Counts
from service.operations.parked_records import ParkedFilter
from service.runtime.telemetry import Event, Metrics
from tests.support.exports import only, profiles_with
from tests.support.guards import Unguarded
from tests.support.write_path import (
    OUTPUTS,
    PREFIX,
    TOPICS,
    WritePath,
    fine,
    miss_the_fine,
    payment,
    record,
)

PAYMENTS, FINES = f"{PREFIX}bursar-payment.v1", f"{PREFIX}fine-created.v1"
JUSTIFICATION = Justification("tester", "a test")


@pytest.fixture
def metrics(path: WritePath) -> Metrics:
    """Those of the service; what `path` applies is counted in them."""
    metrics = Metrics()
    path.applier.tally_sink = TallyInMetrics(metrics)
    return metrics


def command(path: WritePath) -> Applier:
    return Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, tally_sink=TallyInDatabase())


def counts(path: WritePath, metrics: Metrics) -> Counts:
    return Counts(Unguarded(path.pool), metrics, Sources())


def shown(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """By the values of the labels, without those at 0."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and sample.value
    }


async def test_every_rejected_record_counts_once_whoever_rejects_it(
    path: WritePath, metrics: Metrics
) -> None:
    """Envelope, contract and rules in a poll; a payment set free by an export; one discarded."""
    bad = record("bursar-payment.v1", b"{")
    too_much = {"kind": "write_off", "amount": "500.00"}
    with structlog.testing.capture_logs() as lines:
        await path.take(bad, bad, fine(), fine(amount="1.00"), fine(fine_id="F-2", amount="0.00"))
        await path.take(payment(**too_much), payment(payment_id="PAY-2", fine_id="F-9"))
    assert shown(metrics, "bursar_rejected_total") == {
        (PAYMENTS, "invalid_json"): 2,
        (FINES, "fine_conflict"): 1,
        (FINES, "invalid_amount"): 1,
    }
    (line,) = (line for line in lines if line.get("reason") == "invalid_json")
    assert line == {
        "event": Event.EVENT_REJECTED,
        "log_level": "warning",
        "topic": PAYMENTS,
        "partition": 0,
        "offset": 0,
        "reason": "invalid_json",
        "records": 2,
        "see": "bursar-bridge rejected list --because invalid_json",
    }
    assert sum(line["event"] == Event.EVENT_REJECTED for line in lines) == 3

    profiles = profiles_with(50)
    job = ExportJob(command(path), TOPICS, profiles)
    assert await job.run_profile(only(profiles)) == 1
    async with path.pool.acquire() as connection:
        (waiting,) = await parked.find(connection, ParkedFilter(institution_id="6050"))
    assert (await parked.discard(command(path), waiting, JUSTIFICATION)).done
    assert shown(metrics, "bursar_batches_sealed_total") == {}, "no service has taken it over yet"
    other = Metrics()
    with structlog.testing.capture_logs() as lines:
        taken = await asyncio.gather(
            counts(path, metrics).run_once(), counts(path, other).run_once()
        )
    assert sum(taken) == 5
    assert {(line["reason"], line["by"]) for line in lines} == {
        ("exceeds_outstanding", "command"),
        ("discarded", "command"),
    }
    both = [shown(item, "bursar_rejected_total") for item in (metrics, other)]
    in_all = {key: sum(item.get(key, 0) for item in both) for key in (both[0] | both[1])}
    assert in_all[PAYMENTS, "exceeds_outstanding"] == in_all[PAYMENTS, "discarded"] == 1
    assert sum(in_all.values()) == await path.value("SELECT count(*) FROM rejected") == 6
    assert await path.value("SELECT count(*) FROM command_tally") == 0


async def test_a_record_that_the_sweep_rejects_counts(path: WritePath, metrics: Metrics) -> None:
    await path.take(fine())
    await path.exports(profiles_with(50)).run_profile(only(profiles_with(50)))
    await miss_the_fine(path, payment(kind="write_off", amount="500.00"))
    await path.sweep()
    assert shown(metrics, "bursar_rejected_total") == {(PAYMENTS, "exceeds_outstanding"): 1}
    assert shown(metrics, "bursar_unparked_total") == {("unknown_fine",): 1}


async def test_a_release_counts_as_a_record_that_was_set_free(
    path: WritePath, metrics: Metrics
) -> None:
    """One that was held for its excess, and one on which the program had failed."""
    profiles = profiles_with(50, more='overpayment = "hold"')
    await path.take(fine())
    await path.exports(profiles).run_profile(only(profiles))
    await path.take(payment(amount="100.00"))
    await path.pool.execute(
        "INSERT INTO parked_error (institution_id, error, topic, partition, record_offset,"
        " record_value, record_headers, recorded_at)"
        " SELECT institution_id, 'KeyError', topic, partition, 99, record_value, record_headers,"
        " recorded_at FROM parked"
    )
    async with path.pool.acquire() as connection:
        waiting = await parked.find(connection, ParkedFilter(institution_id="6050"))
    for record_waiting in waiting:
        assert (await parked.release(command(path), record_waiting, JUSTIFICATION)).done
    await counts(path, metrics).run_once()
    assert shown(metrics, "bursar_unparked_total") == {
        ("overpaid_held",): 1,
        ("internal_error",): 1,
    }


async def test_what_is_rolled_back_or_tried_again_counts_once(
    path: WritePath, metrics: Metrics
) -> None:
    """The first try ends in a deadlock, at its commit: all was counted until then."""
    await path.pool.execute(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF nextval('tries') = 1 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40P01';"
        " END IF; RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON outbox"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_once()"
    )
    await path.take(record("bursar-payment.v1", b"{"))
    assert shown(metrics, "bursar_rejected_total") == {(PAYMENTS, "invalid_json"): 1}
    assert shown(metrics, "bursar_commit_retries_total") == {("DeadlockDetectedError",): 1}
    assert shown(metrics, "bursar_deadlocks_total") == {(): 1}


async def test_credits_of_over_payments_are_counted_with_their_sum(
    path: WritePath, metrics: Metrics
) -> None:
    """A credit of the library's own, and a payment that fits, are none."""
    await path.take(fine(), fine(fine_id="F-2"), fine(fine_id="F-3", type="CREDIT", amount="-5.00"))
    await path.exports(profiles_with(50)).run_profile(only(profiles_with(50)))
    await path.take(
        payment(amount="100.25"), payment(payment_id="PAY-2", fine_id="F-2", amount="95.50")
    )
    await path.take(payment(amount="100.25"))  # a repeat
    reversal = {"kind": "reversal", "reverses_payment_id": "PAY-1", "amount": "100.25"}
    await path.take(payment(payment_id="PAY-3", **reversal))
    assert shown(metrics, "bursar_credits_made_total") == {("USD",): 1}
    assert shown(metrics, "bursar_credits_made_minor_units_total") == {("USD",): 475}


async def test_a_run_that_fails_counts_whoever_runs_it(path: WritePath, metrics: Metrics) -> None:
    await path.take(fine())
    await path.pool.execute("INSERT INTO export_counter VALUES ('6050', 999999999999999, 1000)")
    profiles = profiles_with(50, more="interval_seconds = 60")
    for applier in (command(path), path.applier):
        job = ExportJob(applier, TOPICS, profiles)
        if applier is path.applier:
            assert await job.run_once() == 0
        else:
            with pytest.raises(RunFailed) as failed:
                await job.run_profile(only(profiles))
            assert "export_number" in str(failed.value.__cause__)
    await counts(path, metrics).run_once()
    assert shown(metrics, "bursar_run_failures_total") == {("bursar",): 2}


async def test_a_metric_that_this_release_does_not_know_is_left_for_the_next(
    path: WritePath, metrics: Metrics
) -> None:
    await path.pool.execute(
        "INSERT INTO command_tally (metric, labels, amount) VALUES ('of_later', '{}', 7)"
    )
    assert await counts(path, metrics).run_once() == 0
    assert await path.value("SELECT amount FROM command_tally") == 7


def test_each_counter_of_commits_is_a_counter_of_the_metrics() -> None:
    metrics = Metrics()
    for tallied in TallyMetric:
        labels = getattr(metrics, tallied.value)._labelnames
        metrics.add(tallied.value, ("x",) * len(labels), 1)
