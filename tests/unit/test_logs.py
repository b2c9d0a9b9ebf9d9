"""Logs: JSON lines in UTC that quote no value of anybody's."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from service.kafka.causes import LastProblem
from service.runtime.logs import RepeatsFilter, configure_logging
from service.runtime.problems import OperatorError, describe, summary
from service.runtime.telemetry import Event, Metrics, get_log
from tests.support.logs import logging_kept


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged in this test; afterwards logging is as it was."""
    stream = io.StringIO()
    with logging_kept():
        configure_logging("info", "json", stream)
        yield stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_event_level_and_utc_time(written: io.StringIO) -> None:
    get_log("service.export.job").info(Event.BATCH_SEALED, profile="MAIN", fines=3)
    (line,) = lines(written)
    assert line["event"] == "batch_sealed"
    assert (line["level"], line["profile"], line["fines"]) == ("info", "MAIN", 3)
    time = line["time"]
    assert isinstance(time, str)
    assert datetime.fromisoformat(time).utcoffset() == timedelta(0)


def test_lines_go_where_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, written: io.StringIO
) -> None:
    """A progress bar takes its place for a while; a handler that kept it would write into it."""
    configure_logging("info", "json")
    for _ in range(2):
        now = io.StringIO()
        monkeypatch.setattr("sys.stderr", now)
        get_log("service.export.job").info(Event.BATCH_SEALED)
        assert [line["event"] for line in lines(now)] == ["batch_sealed"]
    assert written.getvalue() == ""


def test_what_a_foreign_exception_quotes_is_not_written(written: io.StringIO) -> None:
    try:
        raise asyncpg.CheckViolationError("Failing row contains (1, P-1, Erika Beispiel)")
    except asyncpg.CheckViolationError as problem:
        get_log("service.apply.applier").error(Event.POLL_FAILED, exc_info=problem)
        logging.getLogger("somewhere").exception("failed")
    first, second = lines(written)
    assert "Erika" not in written.getvalue()
    for line in (first, second):
        description = line["problem"]
        assert isinstance(description, dict)
        assert description["type"] == "CheckViolationError"
        assert description["sqlstate"] == "23514"
        assert "test_logs.py" in description["at"][0]


def test_an_operator_error_is_told_in_its_own_words() -> None:
    assert describe(OperatorError("an older database came back"))["text"] == (
        "an older database came back"
    )
    both = ExceptionGroup("several", [OperatorError("one"), ValueError("Erika")])
    assert summary(both) == "OperatorError: one; ValueError"


def test_a_library_that_repeats_itself_is_cut_short(written: io.StringIO) -> None:
    for number in range(50):
        logging.getLogger("aiokafka.conn").error("no connection to %s", number)
    logging.getLogger("aiokafka.conn").error("another thing")
    assert [line["event"] for line in lines(written)] == ["no connection to 0", "another thing"]


def test_the_line_after_a_silence_counts_what_was_kept_back() -> None:
    clock = Clock(("aiokafka",))
    shown = []
    for second in (0, 1, 2, 10, 11):
        clock.second = second
        record = logging.LogRecord("aiokafka", logging.ERROR, "f", 1, "no %s", (second,), None)
        if clock.filter(record):
            shown.append((second, getattr(record, "kept_back", 0)))
    assert shown == [(0, 0), (10, 2)]


def test_other_loggers_are_not_cut_short() -> None:
    clock = Clock(("aiokafka",))
    record = logging.LogRecord("service.apply.applier", logging.ERROR, "f", 1, "again", (), None)
    assert all(clock.filter(record) for _ in range(5))


def test_the_latest_error_of_the_client_is_kept_for_a_check() -> None:
    last = LastProblem()
    logger = logging.getLogger("aiokafka.test")
    logger.addHandler(last)
    try:
        logger.error("certificate of %s refused\nmore", "broker")
        logger.warning("the group rebalances")
    finally:
        logger.removeHandler(last)
    assert last.text == "certificate of broker refused"


def test_metrics_have_a_registry_of_their_own() -> None:
    first, second = Metrics(), Metrics()
    first.rejected.labels("library.fine-created.v1", "invalid_amount").inc()
    name, labels = "bursar_rejected_total", {"topic": "library.fine-created.v1"}
    labels["reason"] = "invalid_amount"
    assert first.registry.get_sample_value(name, labels) == 1
    assert second.registry.get_sample_value(name, labels) is None


class Clock(RepeatsFilter):
    """The filter under a clock that the test moves."""

    second = 0

    def now_seconds(self) -> int:
        return self.second
