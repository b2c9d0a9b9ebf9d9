"""What the report says of tests that end in each way there is, of rows of several tests, and of
the negative controls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from tests.faults.conftest import PROPERTY, FaultReport
from tests.faults.logs import check_log
from tests.faults.report import Cells, Row, write_report

Phase = tuple[Literal["setup", "call", "teardown"], Literal["passed", "failed", "skipped"]]
SETUP: Phase = ("setup", "passed")
WELL: Phase = ("teardown", "passed")
CONTROLS = [{"protection": "lease", "noticed": True}, {"protection": "breaker", "noticed": False}]


def written(folder: Path, *phases: Phase) -> Cells:
    """The only row of the report after a test whose phases have ended so."""
    report = FaultReport(folder, keep=False)
    for when, outcome in phases:
        problem = ("test_a.py", 1, "Skipped: no root") if outcome == "skipped" else None
        ended = pytest.TestReport(
            "test_a.py::test_a", ("test_a.py", 1, "test_a"), {}, outcome, problem, when
        )
        ended.user_properties.append((PROPERTY, Row("a").cells()))
        report.pytest_runtest_logreport(ended)
    report.pytest_sessionfinish()
    (row,) = json.loads((folder / "report.json").read_text("utf-8"))["rows"]
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        ((SETUP, ("call", "passed"), WELL), "passed"),
        ((SETUP, ("call", "failed"), WELL), "failed"),
        ((SETUP, ("call", "passed"), ("teardown", "failed")), "failed"),
        ((("setup", "failed"), WELL), "failed"),
        ((("setup", "skipped"), WELL), "not run"),
        ((("setup", "skipped"), ("teardown", "failed")), "failed"),
        ((SETUP,), "not run"),
    ],
)
def test_a_failure_of_any_phase_stands(
    tmp_path: Path, phases: Sequence[Phase], outcome: str
) -> None:
    assert written(tmp_path, *phases)["outcome"] == outcome


def test_a_row_that_did_not_run_says_why(tmp_path: Path) -> None:
    assert written(tmp_path, ("setup", "skipped"), WELL)["notes"] == ["no root"]


def cells(name: str, outcome: str, test: str) -> Cells:
    return {**Row(name).cells(), "outcome": outcome, "test": test}


def page_of(folder: Path, name: str = "report") -> str:
    return (folder / name).with_suffix(".md").read_text("utf-8")


def test_a_row_of_several_tests_is_as_bad_as_the_worst_of_them(tmp_path: Path) -> None:
    rows = [cells("b", "passed", "1"), cells("b", "failed", "2"), cells("a", "passed", "3")]
    write_report(tmp_path, rows, keep=False)
    kept = json.loads((tmp_path / "report.json").read_text("utf-8"))["rows"]
    assert [(row["name"], row["outcome"]) for row in kept] == [
        ("a", "passed"),
        ("b", "failed"),
    ]
    assert "| b | failed 2 tests. |" in page_of(tmp_path)


def test_a_row_that_ran_again_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    write_report(tmp_path, [cells("a", "failed", "1"), cells("b", "passed", "2")], keep=False)
    write_report(tmp_path, [cells("a", "passed", "1")], keep=True)
    kept = json.loads((tmp_path / "report.json").read_text("utf-8"))["rows"]
    assert [row["outcome"] for row in kept] == ["passed", "passed"]


def test_the_controls_stand_below_the_rows_of_the_matrix_alone(tmp_path: Path) -> None:
    (tmp_path / "controls.json").write_text(json.dumps(CONTROLS), "utf-8")
    write_report(tmp_path, [cells("a", "passed", "1")], keep=False)
    write_report(tmp_path, [cells("a", "passed", "1")], keep=False, name="random")
    page = page_of(tmp_path)
    assert page.endswith("| lease | red |\n| breaker | NOT NOTICED |\n")
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["controls"] == CONTROLS
    assert "controls" not in page_of(tmp_path, "random").lower()


def test_personal_data_in_a_log_is_noticed_and_not_quoted() -> None:
    check_log('{"event": "poll_failed", "records": 1}\n')
    with pytest.raises(AssertionError) as failure:
        check_log('{"event": "a"}\n{"event": "poll_failed", "patron": "Doe, Jane"}\n')
    assert "Doe" not in str(failure.value)
