"""The corpus is rejected for its reasons, and a short fuzz of each target has no finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from service.core.events import Rejection
from service.messages.decode import CONTRACTS, parse
from tests.fuzz.corpus import bad_records
from tests.fuzz.engine import Finding, Fuzzer, Target
from tests.fuzz.targets import TARGETS

RECORDS_MIN = 300
SHORT_INPUTS = 300
SLOW_INPUTS = {"settings": 80}  # each of them reads the whole environment


def test_the_corpus_has_hundreds_of_bad_records_of_every_contract() -> None:
    records = bad_records()
    assert len(records) >= RECORDS_MIN
    assert {record.contract for record in records} == set(CONTRACTS)
    names = Counter((record.contract, record.name) for record in records)
    assert max(names.values()) == 1


@pytest.mark.fault("malformed-records")
def test_each_record_of_the_corpus_is_rejected_for_its_reason() -> None:
    differing = [
        (record.name, record.reason, event.reason if isinstance(event, Rejection) else "taken")
        for record in bad_records()
        for event in [parse(record.contract, record.origin)]
        if not isinstance(event, Rejection) or event.reason != record.reason
    ]
    assert differing == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.name)
def test_a_short_fuzz_has_no_finding(target: Target) -> None:
    executions = SLOW_INPUTS.get(target.name, SHORT_INPUTS)
    progress = Fuzzer(Sampled(target)).run(executions=executions)
    assert progress.executions >= executions
    assert progress.edges > 0


class Sampled:
    """A target with fewer of its seeds, so that most inputs are changed ones."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.name = target.name
        self.run = target.run
        self.names_in = target.names_in

    def seeds(self) -> Sequence[bytes]:
        seeds = self._target.seeds()
        return seeds[:: max(1, len(seeds) // 40)]


class Faulty:
    """Fails on what a fuzzer has to come upon by itself."""

    name = "faulty"

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def seeds(self) -> Sequence[bytes]:
        return [b'{"name": "Doe"}', b'{"name": 1}']

    def run(self, data: bytes) -> list[str]:
        if self._fault == "raises" and b"null" in data:
            raise RuntimeError
        return [f"name: {data!r} is wrong"] if self._fault == "quotes" else []

    def names_in(self, _data: bytes, /) -> str:
        return ""


@pytest.mark.parametrize("fault", ["raises", "quotes"])
def test_a_fault_is_come_upon(fault: str) -> None:
    with pytest.raises(Finding, match=fault):
        Fuzzer(Faulty(fault)).run(executions=5_000)
    Fuzzer(Faulty("none")).run(executions=200)


def test_the_same_seed_gives_the_same_inputs() -> None:
    class Noting(Faulty):
        def __init__(self) -> None:
            super().__init__("none")
            self.inputs: list[bytes] = []

        def run(self, data: bytes) -> list[str]:
            self.inputs.append(data)
            return []

    noted = [Noting(), Noting()]
    for target in noted:
        Fuzzer(target, seed=5).run(executions=200)
    assert noted[0].inputs == noted[1].inputs


def test_code_that_was_not_reached_before_keeps_an_input() -> None:
    target = next(each for each in TARGETS if each.name == "records")
    fuzzer = Fuzzer(target)
    seeds = target.seeds()
    for data in (seeds[0], seeds[0], seeds[0]):
        fuzzer.try_input(data)
    before = fuzzer.progress.edges
    fuzzer.try_input(seeds[-1])
    assert fuzzer.progress.edges > before
