"""Runs of lines that stand twice, to the letter, in files of Python and in statements of SQL.

`python -m tests.structure.repeated` lists them. Lines are compared without the white space at their
ends; blank lines and imports do not count. Migrations are not compared: each is as it was released.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.structure.source import nodes_of, text_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("service", "tests", "demo", "examples")
STATEMENTS = ROOT / "service/database/sql"
RUN_LINES = 10


class Place(NamedTuple):
    """Where a run of lines begins."""

    path: Path
    line: int


def sources() -> list[Path]:
    """All files that are compared."""
    return sorted(
        [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
        + list(STATEMENTS.glob("*.sql"))
    )


def repeated(paths: Iterable[Path]) -> list[tuple[Place, Place]]:
    """Pairs of places where the same `RUN_LINES` lines begin; of each two files the first pair."""
    first: dict[tuple[str, ...], Place] = {}
    pairs: dict[tuple[Path, Path], tuple[Place, Place]] = {}
    for path in paths:
        lines = _lines(path)
        for begin in range(len(lines) - RUN_LINES + 1):
            place = Place(path, lines[begin][0])
            other = first.setdefault(
                tuple(text for _, text in lines[begin : begin + RUN_LINES]), place
            )
            if other != place:
                pairs.setdefault((other.path, path), (other, place))
    return list(pairs.values())


def _lines(path: Path) -> list[tuple[int, str]]:
    """The numbers and texts of the lines that count."""
    imported = {
        number
        for node in (nodes_of(path) if path.suffix == ".py" else ())
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [
        (number, text.rstrip())
        for number, text in enumerate(text_of(path).splitlines(), 1)
        if text.strip() and number not in imported
    ]


def in_words(pair: tuple[Place, Place]) -> str:
    """A pair of places, by their paths and line numbers."""
    return " ~ ".join(f"{place.path.relative_to(ROOT)}:{place.line}" for place in pair)


if __name__ == "__main__":
    for pair in repeated(sources()):
        print(in_words(pair))
