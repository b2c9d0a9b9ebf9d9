"""Bad records in a row, and what they stop (rules.md, 7)."""

from __future__ import annotations

import re

import pytest

from service.core.breaker import (
    BAD,
    EVERY,
    REMEMBERED_MAX,
    BadCount,
    Decided,
    Stop,
    StopKey,
    allowance,
    count_bad,
)
from service.core.words import Reason
from tests.support.pages import ROOT

MAX = 3
TOPIC = "bursar-payment.v1"
# The records of a history: the institution's letter, and a mark for what became of it. "-" is a
# record without an institution, "!" a bad record, "~" one whose fine does not allow it.
MARKS = {"": None, "!": Reason.UNKNOWN_LINE, "~": Reason.ALREADY_EXPORTED}


def record(text: str, topic: str = TOPIC) -> Decided | None:
    if text == "failed":
        return None
    name, mark = text.rstrip("!~"), text.lstrip("-ABCDE")
    return Decided(StopKey(topic, EVERY if name == "-" else name), MARKS[mark])


def stop_of(history: str, bad_max: int = MAX) -> tuple[str, int] | None:
    """What the records stop, and after how many records."""
    result = count_bad({}, [record(text) for text in history.split()], bad_max)
    if result.stop is None:
        return None
    return result.stop.key.institution_id or "all", result.records


ROWS = {
    "row 7.1: bad records of an institution stop it": ("A! A! A! A!", ("A", 3)),
    "row 7.1: others may come between": ("A! B A! B B A!", ("A", 6)),
    "row 7.1: others may be bad between": ("A! B! A! B A!", ("A", 5)),
    "row 7.1: a sound record begins anew": ("A! A! A A! A!", None),
    "row 7.1: so does one that its fine does not allow": ("A! A! A~ A! A!", None),
    "row 7.1: those that its fine does not allow never count": ("A~ A~ A~ A~", None),
    "row 7.1: a failed record is neither": ("A! failed A! failed A!", ("A", 5)),
    "row 7.1: fewer stop nothing": ("A! A!", None),
    "row 7.2: records without an institution stop the topic": ("-! -! -!", ("all", 3)),
    "row 7.2: a sound record of anybody begins anew": ("-! -! B -! -!", None),
    "row 7.2: one institution and no institution": ("A! -! A! -! -!", ("all", 5)),
    "row 7.2: of several, without the most frequent": ("A! B! C! B! C!", ("all", 5)),
    "row 7.2: of two, each as often": ("A! B! A! B! B!", ("B", 5)),
    "row 7.2: the stopped one still counts as the most frequent": ("A! A! A! B! -!", ("A", 3)),
    "row 7.2: a single institution never": ("A! A! -! A!", ("A", 4)),
}


@pytest.mark.parametrize(("history", "stop"), ROWS.values(), ids=ROWS.keys())
def test_what_bad_records_stop(history: str, stop: tuple[str, int] | None) -> None:
    assert stop_of(history) == stop


@pytest.mark.parametrize("history", ["A! A! A! A!", "-! -! -! -!"])
def test_with_0_nothing_is_stopped(history: str) -> None:
    assert stop_of(history, 0) is None


def test_turned_off_it_forgets_what_was_counted() -> None:
    counts = {StopKey(TOPIC, "A"): BadCount(2, 2)}
    assert count_bad(counts, [record("A!")], 0).changed == {StopKey(TOPIC, "A"): BadCount()}


def test_row_7_1_each_topic_counts_by_itself() -> None:
    records = [record("A!", f"topic-{n % 2}") for n in range(4)]
    assert count_bad({}, records, MAX).stop is None


def test_row_7_1_a_sound_record_ends_no_row_of_another_topic() -> None:
    others = {StopKey("another", "A"): BadCount(1, 1), StopKey("another", EVERY): BadCount(2, 0)}
    assert count_bad(others, [record("A"), record("-")], MAX).changed == {}


def test_row_7_2_after_one_institution_another_stops_the_topic() -> None:
    """Two institutions that send nothing but bad records: the cause is not one of them."""
    first = count_bad({}, [record("A!")] * 3, MAX)
    assert first.stop == Stop(StopKey(TOPIC, "A"), 3, Reason.UNKNOWN_LINE)
    second = count_bad(first.changed, [record("B!")] * 3, MAX)
    assert second.stop == Stop(StopKey(TOPIC, EVERY), 3, Reason.UNKNOWN_LINE)


def test_row_7_2_a_stop_of_a_topic_forgets_its_counts_and_those_of_no_other() -> None:
    others = {StopKey("another", "A"): BadCount(1, 1), StopKey(TOPIC, "B"): BadCount(2, 2)}
    result = count_bad(others, [record("-!")] * MAX, MAX)
    assert result.stop == Stop(StopKey(TOPIC, EVERY), 3, Reason.UNKNOWN_LINE)
    assert result.changed == {StopKey(TOPIC, "B"): BadCount()}


def test_row_7_2_unless_a_sound_record_came_between() -> None:
    first = count_bad({}, [record("A!")] * 3, MAX)
    second = count_bad(first.changed, [record("C"), *[record("B!")] * 3], MAX)
    assert second.stop == Stop(StopKey(TOPIC, "B"), 3, Reason.UNKNOWN_LINE)


def test_row_7_5_the_count_begins_anew_after_a_stop() -> None:
    counts = {StopKey(TOPIC, "A"): BadCount(2, 2), StopKey(TOPIC, EVERY): BadCount(0, 0)}
    assert count_bad(counts, [record("A!")], MAX).changed == {StopKey(TOPIC, "A"): BadCount(0, 3)}
    counts = {StopKey(TOPIC, EVERY): BadCount(2, 2), StopKey(TOPIC, "B"): BadCount(1, 1)}
    result = count_bad(counts, [record("-!")], MAX)
    assert result.changed == dict.fromkeys(counts, BadCount())


@pytest.mark.parametrize("name", ["A", EVERY])
def test_row_7_7_a_person_may_allow_more(name: str) -> None:
    key, bad = StopKey(TOPIC, name), Decided(StopKey(TOPIC, name), Reason.INVALID_JSON)
    counts = {key: BadCount(allowance(10, MAX), 0)}
    assert count_bad(counts, [bad] * 9, MAX).stop is None
    assert count_bad(counts, [bad] * 10, MAX).stop is not None


def test_row_7_7_ends_with_the_next_sound_record() -> None:
    counts = {StopKey(TOPIC, "A"): BadCount(allowance(10, MAX), 0)}
    result = count_bad(counts, [record("A!"), record("A"), *[record("A!")] * 3], MAX)
    assert (result.records, result.stop is None) == (5, False)


def test_row_7_7_never_allows_fewer() -> None:
    assert allowance(1, MAX) == 0


def test_one_bad_record_in_a_thousand_stops_nothing() -> None:
    history = [record("A!" if n % 1_000 == 0 else "A") for n in range(200_000)]
    assert count_bad({}, history, 2).stop is None


def test_of_many_institutions_the_shortest_rows_are_forgotten() -> None:
    """Each record between sound ones, so that no row of the topic comes up."""
    history = [record("A!"), record("A!"), record("B")]
    for number in range(3 * REMEMBERED_MAX):
        history += [Decided(StopKey(TOPIC, f"{number:03}"), Reason.UNKNOWN_LINE), record("B")]
    counted = count_bad({}, history, MAX).changed
    assert len(counted) == REMEMBERED_MAX + 1
    assert counted[StopKey(TOPIC, "A")] == BadCount(2, 0)
    assert count_bad(counted, [record("A!")], MAX).stop == Stop(
        StopKey(TOPIC, "A"), 3, Reason.UNKNOWN_LINE
    )


def test_what_a_person_has_allowed_and_the_row_of_the_topic_are_not_forgotten() -> None:
    kept = {StopKey(TOPIC, "A"): BadCount(-5, 0), StopKey(TOPIC, EVERY): BadCount(1, 0)}
    of_topic = {StopKey(TOPIC, "B"): BadCount(1, 1), StopKey("another", "C"): BadCount(1, 0)}
    counts = {**kept, **of_topic, StopKey(TOPIC, "D"): BadCount(2, 0)}
    result = count_bad(counts, [record("-!"), record("E!")], 9, remembered_max=0)
    assert result.changed == {
        StopKey(TOPIC, EVERY): BadCount(2, 1),
        StopKey(TOPIC, "E"): BadCount(1, 1),
        StopKey(TOPIC, "D"): BadCount(),
    }


def test_what_counts_as_bad_is_what_the_page_says() -> None:
    """What a fine does not allow is left out: its next record may be one that is needed."""
    page = (ROOT / "docs/rules.md").read_text("utf-8")
    sentence = page.partition("A record is **bad** if it was rejected as ")[2].partition(":")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == {reason.value for reason in BAD}
    assert Reason.ALREADY_EXPORTED not in BAD
