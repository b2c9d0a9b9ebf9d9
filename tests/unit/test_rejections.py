"""Rejected records are told of, not each of them; a topic that has no others is an alarm."""

from collections.abc import Mapping
from typing import Any

from structlog.testing import capture_logs

from service.intake_rejections import Rejections
from service.telemetry import Metrics

FINES = "library.fine-created.v1"
PAYMENTS = "library.bursar-payment.v1"
JSON = (FINES, "invalid_json")

Poll = tuple[Mapping[str, int], Mapping[tuple[str, str], int], int]


def after(*polls: Poll) -> tuple[Rejections, list[Any]]:
    rejections = Rejections(Metrics(), alarm_records=100)
    with capture_logs() as logs:
        for read, rejected, now_ms in polls:
            rejections.note(read, rejected, now_ms)
    return rejections, [tuple(line.values()) for line in logs]


def in_a_row(rejections: Rejections, topic: str) -> object:
    name = "bursar_rejected_in_a_row"
    return rejections.metrics.registry.get_sample_value(name, {"topic": topic})


def test_a_line_names_topic_reason_and_how_many() -> None:
    _, lines = after(({FINES: 50, PAYMENTS: 9}, {JSON: 3, (PAYMENTS, "unknown_line"): 1}, 0))
    assert lines == [
        (FINES, "invalid_json", 3, "event_rejected", "warning"),
        (PAYMENTS, "unknown_line", 1, "event_rejected", "warning"),
    ]


def test_lines_of_one_reason_are_ten_seconds_apart_and_lose_no_record() -> None:
    _, lines = after(
        ({FINES: 50}, {JSON: 3}, 0),
        ({FINES: 50}, {JSON: 4}, 5_000),
        ({FINES: 50}, {JSON: 5}, 9_999),
        ({FINES: 50}, {}, 10_000),
    )
    assert [line[2] for line in lines] == [3, 9]


def test_a_topic_of_rejected_records_alone_is_an_alarm() -> None:
    bad: Poll = ({FINES: 60, PAYMENTS: 60}, {JSON: 60, (PAYMENTS, "unknown_line"): 59}, 0)
    rejections, lines = after(bad, bad, bad)
    assert in_a_row(rejections, FINES) == 180
    assert in_a_row(rejections, PAYMENTS) == 0
    assert [line for line in lines if line[-1] == "error"] == [
        (FINES, 120, "topic_rejected", "error")
    ]


def test_a_sound_record_ends_the_row() -> None:
    rejections, _ = after(({FINES: 99}, {JSON: 99}, 0), ({FINES: 10}, {JSON: 9}, 1))
    assert in_a_row(rejections, FINES) == 0


def test_the_metric_counts_every_reason() -> None:
    rejections, _ = after(({PAYMENTS: 9}, {(PAYMENTS, "unknown_line"): 2}, 0))
    labels = {"topic": PAYMENTS, "reason": "unknown_line"}
    value = rejections.metrics.registry.get_sample_value("bursar_rejected_total", labels)
    assert value == 2
