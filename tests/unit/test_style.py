"""The house rules that a program can hold (CONTRIBUTING.md): sizes, no floats, no blind waits."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.telemetry import Event

ROOT = Path(__file__).parents[2]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN_MAX = 10
FILE_LINES_MAX = 300
SLEEPS = {"time.sleep", "asyncio.sleep"}
EVENTS = frozenset(Event)
BANNED_WORDS = ("TODO", "FIXME", "XXX", "HACK")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's place and its length in lines, decorators not counted."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            place = f"{name_of(path)}:{node.lineno} {node.name}"
            yield place, node.end_lineno - node.lineno + 1


def test_there_is_something_to_look_at() -> None:
    assert len(SERVICE) > 20
    assert len(TESTS) > 20


def test_no_function_is_too_long() -> None:
    long = [
        f"{place}: {length} lines"
        for path in SERVICE
        for place, length in functions(path)
        if length > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_most_functions_are_short() -> None:
    lengths = [length for path in SERVICE for _, length in functions(path)]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


def test_no_file_of_the_service_is_too_long() -> None:
    counts = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in SERVICE}
    assert {name: count for name, count in counts.items() if count > FILE_LINES_MAX} == {}


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_the_service_knows_no_floating_point(path: Path) -> None:
    """Money is whole minor units; times in settings are whole units as well."""
    found = [
        node.lineno
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    assert found == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_waits_blindly(path: Path) -> None:
    """A test waits for a condition with a deadline: it pauses between two looks, in a loop."""
    whole = tree(path)
    between_looks = {
        id(inner)
        for loop in ast.walk(whole)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(loop)
    }
    blind = [
        node.lineno
        for node in ast.walk(whole)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in SLEEPS
        and id(node) not in between_looks
    ]
    assert blind == []


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_comments_hold_no_leftovers(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [word for word in BANNED_WORDS if word in text] == []


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_an_ignore_has_its_code_and_a_reason(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    bare = [
        number
        for number, line in enumerate(lines, 1)
        if ("# type: ignore" in line and "# type: ignore[" not in line)
        or ("# noqa" in line and ("# noqa: " not in line or " - " not in line.split("# noqa")[1]))
    ]
    assert bare == []


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_log_lines_have_listed_names(path: Path) -> None:
    unlisted = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) in ("log", "logger")
        and node.args
        and (
            isinstance(node.args[0], ast.JoinedStr)
            or (isinstance(node.args[0], ast.Constant) and node.args[0].value not in EVENTS)
        )
    ]
    assert unlisted == []
