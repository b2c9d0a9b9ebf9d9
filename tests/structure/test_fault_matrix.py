"""Each fault of docs/faults.md names tests that exist, or what is missing."""

from __future__ import annotations

import re

from tests.structure.test_reliability import CITED, missing
from tests.support.pages import DOCS

FAULTS_MIN = 30
SIMULATOR = "the simulator"


def rows() -> list[list[str]]:
    """The cells of each row of the table, without its head."""
    text = (DOCS / "faults.md").read_text("utf-8")
    table = [row for row in text.splitlines() if row.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1:]]


def test_the_matrix_has_each_fault_once() -> None:
    faults = [cells[0] for cells in rows()]
    assert len(faults) >= FAULTS_MIN
    assert len(set(faults)) == len(faults)


def test_each_fault_has_tests_or_says_what_is_missing() -> None:
    for fault, tests, lacking in rows():
        rest = CITED.sub("", tests).replace(SIMULATOR, "").replace(", ", "")
        assert rest == "", (fault, rest)
        assert tests or lacking, fault


def test_each_test_of_the_matrix_is_there() -> None:
    assert list(missing((DOCS / "faults.md").read_text("utf-8"))) == []


def test_the_simulator_stands_for_a_test() -> None:
    text = (DOCS / "faults.md").read_text("utf-8")
    sentence = re.search(r"\*The simulator\* stands for\s+`([^`]+)`", text)
    assert sentence is not None
    assert CITED.fullmatch(f"`{sentence[1]}`")
