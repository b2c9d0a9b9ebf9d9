"""Mutation testing's own parts: the changes it makes, the explanations, the score."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from tests.mutation.in_place import fitting
from tests.mutation.mutants import Mutant, code_of, mutants_of
from tests.mutation.operators import replacements
from tests.mutation.order import Order
from tests.mutation.reached import Reached, Recorder, marked, read
from tests.mutation.results import (
    REPORT,
    Outcome,
    Result,
    explanations,
    identity_of,
    outcome_of,
    score_percent,
    summary,
    write_reports,
)
from tests.mutation.targets import ROOT, TARGETS, sources, target_of

MONEY = ROOT / "service" / "core" / "money.py"


def changed(text: str) -> set[tuple[str, str]]:
    """The operators for the first statement or expression of `text`, with what they make of it."""
    statement = ast.parse(text).body[0]
    parent: ast.AST = ast.Module([statement], [])
    node: ast.AST = statement
    if isinstance(statement, ast.Expr):
        parent, node = statement, statement.value
    return {
        (operator, ast.unparse(after)) for operator, after in replacements(parent, "value", node)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", {("comparison", "a <= b"), ("comparison", "a >= b")}),
        ("a is None", {("comparison", "a is not None")}),
        ("a and b", {("boolean", "a or b"), ("operand", "a"), ("operand", "b")}),
        ("not a", {("sign", "a")}),
        ("a + b", {("arithmetic", "a - b")}),
        ("a += 1", {("arithmetic", "a -= 1"), ("statement", "pass")}),
        ("f(a, b=1)", {("argument", "f(a)")}),
        ("Status.ACTIVE", {("member", "Status.IN_DISPUTE")}),
        ("Status.TRANSFERRED", {("member", "Status.ACTIVE")}),
        ("other.ACTIVE", set()),
        ("7", {("constant", "8"), ("constant", "6")}),
        ("'text'", {("constant", "'text~'")}),
        ("True", {("constant", "False")}),
        ("a.b = c", {("statement", "pass")}),
        ("return a", {("return", "return None")}),
    ],
)
def test_each_operator_makes_a_small_change(text: str, expected: set[tuple[str, str]]) -> None:
    assert changed(text) == expected


def test_a_condition_is_tried_with_both_values_but_no_loop_is_endless() -> None:
    for text, values in (("if a: b", {"True", "False"}), ("while a: b", {"False"})):
        parent = ast.parse(text).body[0]
        assert isinstance(parent, ast.If | ast.While)
        made = {ast.unparse(after) for _, after in replacements(parent, "test", parent.test)}
        assert made == values


def test_every_target_has_sources_and_tests() -> None:
    for target in TARGETS:
        assert target.paths(), target.sources
        missing = [n for stage in target.stages for n in stage if not (ROOT / n).exists()]
        assert missing == []
    assert {target_of(path) for path in sources()} == set(TARGETS)


def test_the_mutants_of_a_file_are_the_same_each_time_and_compile() -> None:
    mutants = mutants_of(MONEY)
    assert mutants == mutants_of(MONEY)
    assert len({identity_of(mutant) for mutant in mutants}) == len(mutants)
    assert [mutant.number for mutant in mutants] == list(range(len(mutants)))
    original = compile(MONEY.read_text("utf-8"), str(MONEY), "exec")
    assert all(code_of(mutant) != original for mutant in mutants)


def test_each_explanation_is_of_a_mutant_that_there_is() -> None:
    """A changed line needs its explanation anew: the old one may not be true any more."""
    known = {identity_of(mutant) for path in sources() for mutant in mutants_of(path)}
    reasons = explanations()
    assert set(reasons) - known == set()
    assert all(reason.endswith(".") for reason in reasons.values())


def result(outcome: Outcome, number: int = 0) -> Result:
    mutant = Mutant("a.py", number, 3, "return a < b", "comparison", "a < b -> a <= b", 2)
    return Result(mutant, outcome, None)


def test_a_mutant_that_is_explained_does_not_count() -> None:
    outcomes = [Outcome.KILLED] * 3 + [Outcome.SURVIVED, Outcome.EXPLAINED]
    results = [result(outcome) for outcome in outcomes]
    assert score_percent(results) == 75
    assert summary(results) == "5 mutants: 3 killed, 1 survived, 1 explained; score 75.0 %"
    assert score_percent([]) == 100


def test_an_explanation_of_a_mutant_that_a_test_notices_is_not_true() -> None:
    mutant = result(Outcome.KILLED).mutant
    reasons = {identity_of(mutant): "It does the same."}
    assert outcome_of(mutant, True, reasons) is Outcome.EXPLAINED_BUT_KILLED
    assert outcome_of(mutant, False, reasons) is Outcome.EXPLAINED
    assert outcome_of(mutant, True, {}) is Outcome.KILLED
    assert outcome_of(mutant, False, {}) is Outcome.SURVIVED


def test_the_report_lists_what_survived(tmp_path: Path) -> None:
    write_reports(tmp_path, "Some mutants", [result(Outcome.SURVIVED), result(Outcome.KILLED, 1)])
    text = (tmp_path / REPORT).with_suffix(".md").read_text("utf-8")
    assert "| a.py | 2 | 1 | 0 | 1 |" in text
    assert text.count("a.py:3 comparison: a < b -> a <= b") == 1
    document = json.loads((tmp_path / REPORT).with_suffix(".json").read_text("utf-8"))
    assert document["score_percent"] == 50
    assert [mutant["outcome"] for mutant in document["mutants"]] == ["survived", "killed"]


def test_the_tests_that_call_the_function_come_first_and_none_is_left_out() -> None:
    order = Order()
    calls = frozenset({("a.py", 2)})
    order.reached = {
        "far.py::far": Reached(frozenset(), 0.1),
        "slow.py::near": Reached(calls, 9.0),
        "quick.py::near": Reached(calls, 0.1),
    }
    mutant = result(Outcome.KILLED).mutant
    assert order.of(mutant, order.reached) == ["slow.py::near", "quick.py::near", "far.py::far"]
    for test in order.reached:
        order.note(mutant, test)
    assert order.of(mutant, order.reached) == ["quick.py::near", "slow.py::near", "far.py::far"]


def test_a_file_that_runs_as_a_whole_is_preferred_for_each_of_its_tests() -> None:
    order = Order()
    order.reached = {name: Reached(frozenset(), 1.0) for name in ("a.py", "b.py")}
    mutant = result(Outcome.KILLED).mutant
    order.note(mutant, "b.py::test_b[1]")
    assert order.of(mutant, order.reached) == ["b.py", "a.py"]


def test_a_recorder_notes_which_functions_a_test_calls(tmp_path: Path) -> None:
    recorder = Recorder()
    names: dict[str, object] = {"__name__": "marked"}
    exec(marked(ROOT / "service" / "core" / "bursar_ids.py"), names)
    for test in ("check_digit", "bursar_id"):
        function = names[test]
        assert callable(function)
        function(1_000_000_001 if test == "bursar_id" else "1")
        recorder.end(test)
    recorder.write(tmp_path / "notes")
    notes = read(tmp_path / "notes")
    assert [len(notes[test].functions) for test in ("check_digit", "bursar_id")] == [1, 2]
    assert notes["check_digit"].functions < notes["bursar_id"].functions
    assert all(reached.seconds > 0 for reached in notes.values())


@pytest.mark.slow
def test_a_fault_inside_a_function_and_a_fault_of_an_import_are_noticed() -> None:
    """The driver itself, as `make mutation` runs it; it leaves its reports in var/mutation."""
    wanted = {("if digits == 0:", "digits == 0 -> digits != 0"), ("MAX_DECIMALS = 3", "3 -> 2")}
    names = [m.name for m in mutants_of(MONEY) if (m.line, m.change) in wanted]
    assert len(names) == len(wanted)
    for name in names:
        command = [sys.executable, "-m", "tests.mutation", "--only", name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "1 mutants: 1 killed; score 100.0 %" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0


def test_a_mutant_may_lack_the_only_call_of_super() -> None:
    class Base:
        def __init__(self) -> None:
            self.called = True

    class Derived(Base):
        def __init__(self) -> None:
            super().__init__()

    def without(self: object) -> None:
        del self

    initialise: FunctionType = vars(Derived)["__init__"]
    initialise.__code__ = fitting(without.__code__, initialise)
    assert vars(Derived()) == {}
