"""A topic that has no other records than rejected ones is an alarm."""

from collections.abc import Mapping

from structlog.testing import capture_logs

from service.consumer.metrics import RejectionAlarm
from service.runtime.telemetry import Metrics

FINES = "library.fine-created.v1"
PAYMENTS = "library.bursar-payment.v1"
JSON = (FINES, "invalid_json")

Poll = tuple[Mapping[str, int], Mapping[tuple[str, str], int], int]


def after(*polls: Poll) -> tuple[RejectionAlarm, list[tuple[object, ...]]]:
    rejections = RejectionAlarm(Metrics(), alarm_records=100)
    with capture_logs() as logs:
        for read, rejected, now_ms in polls:
            rejections.note(read, rejected, now_ms)
    return rejections, [tuple(line.values()) for line in logs]


def in_a_row(rejections: RejectionAlarm, topic: str) -> object:
    name = "bursar_rejected_in_a_row"
    return rejections.metrics.registry.get_sample_value(name, {"topic": topic})


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


def test_the_alarm_is_told_again_after_ten_seconds() -> None:
    bad = ({FINES: 100}, {JSON: 100})
    _, lines = after((*bad, 0), (*bad, 9_999), (*bad, 10_000))
    assert [line[1] for line in lines] == [100, 300]
