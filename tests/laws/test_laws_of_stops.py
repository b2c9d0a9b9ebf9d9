"""Stops on generated histories (rules.md, 7): those of the oracle, however polls are cut."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from service.core.breaker import EVERY, REMEMBERED_MAX, BadCount, Decided, StopKey, count_bad
from service.core.words import Reason
from tests.oracle.stops import Given, outcomes

TOPICS = st.sampled_from(["payments", "fines"])
INSTITUTIONS = st.sampled_from([None, "101", "102", "103"])
# Mostly bad, so that rows come up; what is sound always names its institution.
RECORDS = st.one_of(
    st.builds(Given, TOPICS, INSTITUTIONS, st.just(True)),
    st.builds(Given, TOPICS, INSTITUTIONS, st.just(True)),
    st.builds(Given, TOPICS, st.sampled_from(["101", "102", "103"]), st.just(False)),
)
HISTORIES = st.lists(RECORDS, max_size=40)


class Intake:
    """Decides polls as the write path does, with the rule of the service."""

    def __init__(self, bad_max: int, remembered_max: int = REMEMBERED_MAX) -> None:
        self._bad_max = bad_max
        self._remembered_max = remembered_max
        self._counts: dict[StopKey, BadCount] = {}
        self._stopped: set[StopKey] = set()

    def poll(self, records: Sequence[Given]) -> list[str]:
        """What becomes of the records; the part behind a stop is decided by itself."""
        outcomes = [self._outcome(record) for record in records]
        decided = [n for n, outcome in enumerate(outcomes) if outcome == "decided"]
        known = [_decided(records[n]) for n in decided]
        result = count_bad(self._counts, known, self._bad_max, self._remembered_max)
        self._counts.update(result.changed)
        if result.stop is None:
            return outcomes
        self._stopped.add(result.stop.key)
        end = decided[result.records - 1] + 1
        return outcomes[:end] + self.poll(records[end:])

    def _outcome(self, record: Given) -> str:
        if StopKey(record.topic, EVERY) in self._stopped:
            return "left"
        return "waits" if _key(record) in self._stopped else "decided"


def _key(record: Given) -> StopKey:
    return StopKey(record.topic, record.institution or EVERY)


def _decided(record: Given) -> Decided:
    return Decided(_key(record), Reason.INVALID_JSON if record.is_bad else None)


@given(HISTORIES, st.integers(0, 6), st.lists(st.integers(1, 7), min_size=1, max_size=10))
def test_2_stops_are_those_of_the_oracle_however_the_records_are_cut_into_polls(
    history: list[Given], bad_max: int, sizes: list[int]
) -> None:
    intake, result, place = Intake(bad_max), [], 0
    while place < len(history):
        size = sizes[place % len(sizes)]
        result += intake.poll(history[place : place + size])
        place += size
    assert result == outcomes(history, bad_max)


@given(HISTORIES, st.integers(1, 6), st.integers(0, 2), st.integers(1, 7))
def test_2_what_is_forgotten_does_not_depend_on_how_the_records_are_cut(
    history: list[Given], bad_max: int, remembered_max: int, size: int
) -> None:
    whole, cut = Intake(bad_max, remembered_max), Intake(bad_max, remembered_max)
    polls = [history[place : place + size] for place in range(0, len(history), size)]
    assert [outcome for poll in polls for outcome in cut.poll(poll)] == whole.poll(history)


@given(HISTORIES, st.integers(1, 6), st.sampled_from(["101", "102"]))
def test_4_bad_records_of_one_institution_change_nothing_for_another(
    history: list[Given], bad_max: int, bad: str
) -> None:
    """All that comes from `bad` is bad, and all others send what is sound."""
    history = [record._replace(institution=record.institution or bad) for record in history]
    history = [record._replace(is_bad=record.institution == bad) for record in history]
    whole = zip(history, Intake(bad_max).poll(history), strict=True)
    assert {outcome for record, outcome in whole if record.institution != bad} <= {"decided"}
