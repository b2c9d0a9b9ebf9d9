"""The house rules that a program can hold (CONTRIBUTING.md): sizes, no floats, no blind waits."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from service.runtime.telemetry import Event
from tests.structure.count import ways_round_checks
from tests.structure.source import nodes_of, text_of

ROOT = Path(__file__).parents[2]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN_MAX = 8
FILE_LINES_MAX = 300
WAYS_ROUND_IN_SERVICE_MAX = {"Any": 11, "type: ignore": 3, "noqa": 7}
WAYS_ROUND_IN_TESTS_MAX = {"Any": 28, "type: ignore": 10, "noqa": 14}
SLEEPS = {"time.sleep", "asyncio.sleep"}
EVENTS = frozenset(Event)
BANNED_WORDS = ("TODO", "FIXME", "XXX", "HACK")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's place and its length in lines, decorators not counted."""
    for node in nodes_of(path):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            place = f"{name_of(path)}:{node.lineno} {node.name}"
            yield place, node.end_lineno - node.lineno + 1


def places(paths: Iterable[Path], lines_at_fault: Callable[[Path], Iterable[int]]) -> list[str]:
    """All lines at fault, so that a failure names each of them."""
    return [f"{name_of(path)}:{line}" for path in paths for line in lines_at_fault(path)]


def test_there_is_something_to_look_at() -> None:
    assert len(SERVICE) > 20
    assert len(TESTS) > 20


def test_no_function_is_too_long() -> None:
    long = [
        f"{place}: {length} lines"
        for path in (*SERVICE, *TESTS)
        for place, length in functions(path)
        if length > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_most_functions_are_short() -> None:
    lengths = [length for path in SERVICE for _, length in functions(path)]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


def test_no_file_is_too_long() -> None:
    files = (*SERVICE, *TESTS)
    counts = {name_of(path): len(text_of(path).splitlines()) for path in files}
    assert {name: count for name, count in counts.items() if count > FILE_LINES_MAX} == {}


def test_the_service_knows_no_floating_point() -> None:
    """Money is whole minor units; times in settings are whole units as well."""
    assert places(SERVICE, floating_points) == []


def floating_points(path: Path) -> list[int]:
    return [
        node.lineno
        for node in nodes_of(path)
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]


def test_no_test_waits_blindly() -> None:
    """A test waits for a condition with a deadline: it pauses between two looks, in a loop."""
    assert places(TESTS, blind_waits) == []


def blind_waits(path: Path) -> list[int]:
    if "sleep" not in text_of(path):
        return []
    sleeps = [
        node
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and ast.unparse(node.func) in SLEEPS
    ]
    in_loops = {
        id(inner)
        for loop in nodes_of(path)
        if sleeps and isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(loop)
    }
    return [node.lineno for node in sleeps if id(node) not in in_loops]


def test_comments_hold_no_leftovers() -> None:
    assert places(SERVICE, leftovers) == []


def leftovers(path: Path) -> list[int]:
    lines = text_of(path).splitlines()
    return [
        number for number, line in enumerate(lines, 1) if any(word in line for word in BANNED_WORDS)
    ]


def test_an_ignore_has_its_code_and_a_reason() -> None:
    assert places(SERVICE, bare_ignores) == []


def test_what_goes_round_the_checks_does_not_grow() -> None:
    """Where one of the numbers has become smaller, its limit may follow."""
    for paths, limits in ((SERVICE, WAYS_ROUND_IN_SERVICE_MAX), (TESTS, WAYS_ROUND_IN_TESTS_MAX)):
        counts = ways_round_checks(paths)
        assert {name: count for name, count in counts.items() if count > limits[name]} == {}


def bare_ignores(path: Path) -> list[int]:
    lines = text_of(path).splitlines()
    return [
        number
        for number, line in enumerate(lines, 1)
        if ("# type: ignore" in line and "# type: ignore[" not in line)
        or ("# noqa" in line and ("# noqa: " not in line or " - " not in line.split("# noqa")[1]))
    ]


def test_log_lines_have_listed_names() -> None:
    assert places(SERVICE, unlisted_log_lines) == []


def unlisted_log_lines(path: Path) -> list[int]:
    return [
        node.lineno
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name | ast.Attribute)
        and ast.unparse(node.func.value) in ("log", "logger")
        and node.args
        and (
            isinstance(node.args[0], ast.JoinedStr)
            or (isinstance(node.args[0], ast.Constant) and node.args[0].value not in EVENTS)
        )
    ]


def events_used(path: Path) -> Iterator[str]:
    """Names by `Event.NAME`, and first arguments of log lines that are strings."""
    for node in nodes_of(path):
        match node:
            case ast.Attribute(value=ast.Name(id="Event"), attr=name) if name in Event.__members__:
                yield Event[name].value
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log")), args=[ast.Constant(value=name), *_]
            ):
                yield str(name)


def test_each_event_of_the_log_is_used() -> None:
    sources = [path for path in SERVICE if path.name != "telemetry.py"]
    used = {event for path in sources for event in events_used(path)}
    assert EVENTS - used == set()
