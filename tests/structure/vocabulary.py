"""Words that have one meaning in this code, and where an identifier uses them with another one.

`python -m tests.structure.vocabulary` lists every such identifier with its place and what to
write instead; `python -m tests.structure.vocabulary cli tests/unit` lists those of some
places. The terms themselves are explained in docs/glossary.md.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.structure.source import nodes_of
from tests.structure.words import RULES, Name, words_of

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"
CHECKED = tuple(ROOT / name for name in ("service", "tests", "examples", "demo"))
COMMANDS = SERVICE / "cli" / "commands"
MIGRATIONS = SERVICE / "database" / "migrations"
# The name of a statement, of a query in WITH, and what AS gives to a column or a table.
_IN_SQL = re.compile(r"^-- name: (\w+)|\b(\w+) AS (?:MATERIALIZED )?\(|\bAS (\w+)")
_WORDS_OF_RULES = frozenset[str]().union(*(rule.words for rule in RULES))


class Fault(NamedTuple):
    """An identifier that uses a word with another meaning, and what to write instead."""

    name: Name
    instead: str


def faults(folder: Path) -> list[Fault]:
    """The identifiers below a folder that a rule forbids, in the order of files and lines."""
    return sorted(
        {
            Fault(name, rule.instead)
            for name in names(folder)
            if not _WORDS_OF_RULES.isdisjoint(words_of(name.identifier))
            if not _is_of_the_contract(name)
            for rule in RULES
            if rule.forbids(name)
        }
    )


def names(folder: Path) -> Iterator[Name]:
    """Every identifier that the files below a folder define."""
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
        place = path.relative_to(ROOT).as_posix()
        yield Name(place, 0, path.stem)
        yield from defined_names(place, nodes_of(path))
    for path in sorted(folder.rglob("*.sql")):
        place = path.relative_to(ROOT).as_posix()
        if not path.is_relative_to(MIGRATIONS):  # a released migration never changes
            for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
                yield from (Name(place, number, name) for name in names_in_sql(text))


def names_in_sql(text: str) -> Iterator[str]:
    """The identifiers that a line of SQL gives to things."""
    code = text if text.startswith("-- name: ") else text.partition("--")[0]
    for match in _IN_SQL.finditer(code):
        yield next(name for name in match.groups() if name)


def defined_names(place: str, nodes: Sequence[ast.AST]) -> Iterator[Name]:
    """The identifiers that a module gives to things, in the order of the nodes of its tree."""
    labels = {id(target) for node in nodes for target in _labels(node)}
    for node in nodes:
        match node:
            case ast.ClassDef():
                yield Name(place, node.lineno, node.name, is_type=True)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("test_"):
                yield Name(place, node.lineno, node.name)
            case ast.arg():
                yield Name(place, node.lineno, node.arg)
            case ast.Name(ctx=ast.Store()) if id(node) not in labels:
                yield Name(place, node.lineno, node.id)
            case ast.Attribute(ctx=ast.Store()):
                yield Name(place, node.lineno, node.attr)
            case ast.alias(asname=str(alias)):
                yield Name(place, node.lineno, alias)
            case ast.MatchAs(name=str(bound)) | ast.MatchStar(name=str(bound)):
                yield Name(place, node.lineno, bound)
            case ast.ExceptHandler(name=str(bound)):
                yield Name(place, node.lineno, bound)


def _labels(node: ast.AST) -> Iterator[ast.expr]:
    """Members of an enumeration whose name is their value: the value is part of a contract."""
    if isinstance(node, ast.ClassDef):
        for statement in node.body:
            match statement:
                case ast.Assign(
                    targets=[ast.Name() as target], value=ast.Constant(value=str(value))
                ):
                    if target.id.lower() == value.lower():
                        yield target


def _is_of_the_contract(name: Name) -> bool:
    """Whether the identifier is a column, a table or a member of an event, and never changes."""
    return "_" in name.identifier.strip("_") and name.identifier in _released_names()


@cache
def _released_names() -> frozenset[str]:
    texts = [path.read_text("utf-8") for path in sorted(MIGRATIONS.glob("*.sql"))]
    texts += [
        path.read_text("utf-8") for path in sorted((ROOT / "contracts/events").glob("*.json"))
    ]
    return frozenset(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", "\n".join(texts)))


def _folder(place: str) -> Path:
    """The folder or file that an argument of the program means."""
    return next(
        path for path in (SERVICE / place, SERVICE / f"{place}.py", ROOT / place) if path.exists()
    )


def main() -> None:
    """Prints the faults of the places that are named, or of all that are checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "places", nargs="*", default=[path.name for path in CHECKED], metavar="PACKAGE"
    )
    listed = [fault for place in parser.parse_args().places for fault in faults(_folder(place))]
    for fault in listed:
        print(f"{fault.name.path}:{fault.name.line}: {fault.name.identifier} -> {fault.instead}")
    print(f"{len(listed)} identifiers to rename")


if __name__ == "__main__":
    main()
