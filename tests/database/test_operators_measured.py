"""What waits for a person shows in the gauges; what waits too long is an alarm, now and then."""

import pytest
import structlog
from prometheus_client import generate_latest

from service.operations.gauges import Gauges
from service.runtime.telemetry import Event, Metrics
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, payment, record


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    await path.take(
        record("bursar-payment.v1", b"{"),
        fine(exportable=False),
        fine(fine_id="F-2"),
        change(fine_id="F-2", kind="disputed", amount=ABSENT, currency=ABSENT),
        payment(fine_id="F-9"),
        payment(fine_id="F-2", payment_id="PAY-2"),
    )
    await path.pool.execute(
        "UPDATE parked SET recorded_at = now() - interval '2 hours' WHERE fine_id = 'F-9'"
    )
    return path


def shown(metrics: Metrics) -> dict[str, str]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


async def test_what_waits_for_a_person_is_counted(path: WritePath) -> None:
    metrics = Metrics()
    oldest = await Gauges(path.pool, metrics, 3_600).run_once()
    result = shown(metrics)
    assert 7_200 <= oldest < 7_300
    assert result['bursar_parked{wait="unknown_fine"}'] == "1.0"
    assert result['bursar_parked{wait="not_exported"}'] == "1.0"
    assert result['bursar_rejected_open{reason="invalid_json"}'] == "1.0"
    assert result['bursar_rejected_open{reason="discarded"}'] == "0.0"
    assert result['bursar_held_now{reason="not_exportable"}'] == "1.0"
    assert result['bursar_held_now{reason="in_dispute"}'] == "1.0"
    assert result["bursar_parked_overdue"] == "1.0"


async def test_an_old_record_is_an_alarm_once_per_interval(path: WritePath) -> None:
    measure = Gauges(path.pool, Metrics(), 3_600, alarm_interval_seconds=3_600)
    with structlog.testing.capture_logs() as lines:
        await measure.run_once()
        await measure.run_once()
    assert [(line["event"], line["records"]) for line in lines] == [(Event.PARKED_OLD, 1)]
    assert set(lines[0]) == {"event", "log_level", "records", "age_seconds"}


async def test_nothing_is_alarming_before_its_time(path: WritePath) -> None:
    metrics = Metrics()
    with structlog.testing.capture_logs() as lines:
        await Gauges(path.pool, metrics, 86_400).run_once()
    assert lines == []
    assert shown(metrics)["bursar_parked_overdue"] == "0.0"
