"""The tests that documents name exist, and every promise of docs/reliability.md names one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.structure.source import tree_of
from tests.support.pages import DOCS, PAGES, ROOT, name_of

CITED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PROMISES = re.compile(r"^\| .+ \|$", re.MULTILINE)


@cache
def functions_of(file: Path) -> frozenset[str]:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree_of(file).body if isinstance(node, definitions))


def missing(text: str) -> Iterator[str]:
    for file, function in CITED.findall(text):
        if not (ROOT / file).is_file():
            yield file
        elif function and function not in functions_of(ROOT / file):
            yield f"{file}::{function}"


def test_every_test_that_a_document_names_exists() -> None:
    wrong = [f"{name_of(page)}: {test}" for page in PAGES for test in missing(page.read_text())]
    assert wrong == []


def test_every_promise_names_its_tests_and_nothing_else_in_the_last_cell() -> None:
    _, *rows = PROMISES.findall((DOCS / "reliability.md").read_text("utf-8"))
    promises = [row.strip("| ").split(" | ") for row in rows if not row.startswith("|---")]
    assert len(promises) >= 20
    assert [cells for cells in promises if len(cells) != 3] == []
    for promise, _, tests in promises:
        assert CITED.sub("", tests).replace(", ", "") == "", promise
        assert CITED.search(tests), promise


def test_a_test_that_does_not_exist_is_noticed() -> None:
    here = "tests/structure/test_reliability.py"
    known = test_every_test_that_a_document_names_exists.__name__
    text = f"`{here}::{known}`, `{here}::test_of_nothing`, `tests/unit/test_of_nothing.py`"
    assert list(missing(text)) == [f"{here}::test_of_nothing", "tests/unit/test_of_nothing.py"]
