"""Words that have one meaning in this code, and where an identifier uses them with another one.

`python -m tests.structure.vocabulary` lists every such identifier of `service/` with its place and
what to write instead; `python -m tests.structure.vocabulary cli tests/unit` lists those of some
places. The terms themselves are explained in docs/glossary.md.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"
COMMANDS = SERVICE / "cli" / "commands"
STATEMENTS = SERVICE / "database" / "sql"
MIGRATIONS = SERVICE / "database" / "migrations"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """Words that identifiers may not contain, what to write instead, and where the words are right.

    `allowed` has the beginnings of paths where the words are right, each with the only meaning that
    the words have there. `terms` are identifiers that are right wherever they stand. With `whole`,
    an identifier is at fault only if it consists of one of the words; with `types`, only names of
    classes are compared.
    """

    words: frozenset[str]
    instead: str
    allowed: tuple[tuple[str, str], ...] = ()
    terms: frozenset[str] = frozenset()
    whole: bool = False
    types: bool = False

    def forbids(self, name: Name) -> bool:
        """Whether the rule says that this identifier has to get another name."""
        if self.types and not name.is_type:
            return False
        if any(name.path.startswith(place) for place, _ in self.allowed):
            return False
        if name.identifier.strip("_").lower() in self.terms:
            return False
        words = words_of(name.identifier)
        return words[0] in self.words if self.whole and len(words) == 1 else self._within(words)

    def _within(self, words: Sequence[str]) -> bool:
        return not self.whole and not self.words.isdisjoint(words)


class Name(NamedTuple):
    """An identifier where it is defined: of a function, class, variable, file or statement."""

    path: str
    line: int
    identifier: str
    is_type: bool = False


class Fault(NamedTuple):
    """An identifier that uses a word with another meaning, and what to write instead."""

    name: Name
    instead: str


def words(text: str) -> frozenset[str]:
    """The set of words of a text, for tables that are easy to read."""
    return frozenset(text.split())


_OF_THE_ERP = "a line of an export that the bursar does not accept"
_EXPORTED = "a line of an export"

RULES = (
    Rule(words("lane lanes"), "`wait_queue` for parked records, `partition` for Kafka"),
    Rule(
        words("claim claims claimed claiming"),
        "`assignment` for partitions, `selected` or `plan` for the fines of a batch",
    ),
    Rule(
        words("settle settles settled settling"),
        "`retry_parked`, `acknowledge`, or what is meant",
        allowed=(
            ("service/core/payments", "to pay what is owed"),
            ("tests/laws/", "to pay what is owed"),
            ("tests/support/model.py", "to pay what is owed"),
        ),
    ),
    Rule(
        words("refuse refuses refused refusal refusals"),
        "`rejected` for records, `excluded` for a selection, `send_failed` for a broker,"
        " `undeliverable` for a batch, `raise_...` for a function that raises",
        allowed=(
            ("service/core/exports.py", _OF_THE_ERP),
            ("service/core/events.py", _OF_THE_ERP),
            ("service/core/workspace.py", _OF_THE_ERP),
            ("tests/", _OF_THE_ERP),
        ),
        terms=words(
            "refused refused_line refused_lines refused_reason refused_rule refusedline"
            " refusedlines refusedrule wirerefusedline newly_refused partly_refused"
            " connection_refused connectionrefused"
        ),
    ),
    Rule(
        words("refused"),
        "`rejected` for records, `excluded` for a selection, `send_failed` for a broker,"
        " `undeliverable` for a batch; `refused` is said of an export line alone",
        allowed=(
            ("service/core/", _OF_THE_ERP),
            ("service/messages/from_bursar.py", _OF_THE_ERP),
            ("service/export/selection.py", _OF_THE_ERP),
            ("service/database/", _OF_THE_ERP),
            ("service/apply/", _OF_THE_ERP),
            ("service/operations/", _OF_THE_ERP),
            ("service/cli/", _OF_THE_ERP),
            ("tests/", _OF_THE_ERP),
        ),
        whole=True,
    ),
    Rule(
        words("line lines"),
        "`finding` for what a check finds, `text_line`, `row` or `record` for a text;"
        " `line` alone is a line of an export",
        allowed=(
            ("service/core/", _EXPORTED),
            ("service/messages/", _EXPORTED),
            ("service/database/", _EXPORTED),
            ("service/apply/", _EXPORTED),
            ("service/operations/", _EXPORTED),
            ("service/imports/", _EXPORTED),
            ("service/export/batch", _EXPORTED),
            ("service/export/build.py", _EXPORTED),
            ("service/export/evaluation.py", _EXPORTED),
            ("service/export/manifest.py", _EXPORTED),
            ("service/export/plan", _EXPORTED),
            ("service/export/preview.py", _EXPORTED),
            ("service/export/seal", _EXPORTED),
            ("service/export/store.py", _EXPORTED),
            ("service/export/verify.py", _EXPORTED),
            ("service/export/xml/", _EXPORTED),
            ("service/cli/commands/", "the option `--line`"),
            ("service/cli/batches.py", _EXPORTED),
            ("service/cli/history.py", _EXPORTED),
            ("service/cli/import_", _EXPORTED),
            ("tests/", "a line of an export or of a text"),
        ),
        whole=True,
    ),
    Rule(words("books overlay"), "`Workspace`, `ChangeTracker`, or `ledger`"),
    Rule(words("witness witnesses"), "`restore_check`"),
    Rule(words("anchor anchors"), "`last_record_digest`"),
    Rule(words("aside"), "`quarantined`, or where the thing is put"),
    Rule(
        words("look looks looked"),
        "`evaluate` and `Evaluation`, or `check`, `read`, `poll_interval`",
        terms=words("look_up look_ups"),
    ),
    Rule(words("seen told said found own"), "the noun: `record`, `fine`, `result`, `manifest`"),
    Rule(
        words("one"),
        "the noun: `record`, `fine`, `result`, `manifest`",
        terms=words("one_at_a_time one_way"),
    ),
    Rule(
        words(
            "undone asked doubt warned wanted due half fate unmet claimed seen told said found"
            " refused"
        ),
        "the thing: `PendingPair`, `LineOutcome`, `MissingReference`",
        types=True,
        whole=True,
    ),
    Rule(
        words("undone warned unmet fate doubt"), "the noun: `outcome`, `warning`, `unknown_codes`"
    ),
    Rule(
        words("measure"),
        "`collect_gauges`",
        allowed=(("tests/", "to take a time or a size"),),
        whole=True,
    ),
    Rule(words("needles"), "`byte_patterns`"),
    Rule(words("unveil"), "`rename_into_place`"),
    Rule(words("misuse"), "`usage_error`"),
    Rule(words("away"), "`Unavailable`, `unavailable`"),
    Rule(words("retried"), "`run_in_transaction`, or the table of errors"),
)

# Packages where identifiers still have to be renamed. A package leaves the list for good.
STILL_OPEN = {
    "app",
    "apply",
    "cli",
    "consumer",
    "core",
    "database",
    "delivery",
    "export",
    "imports",
    "kafka",
    "messages",
    "operations",
    "runtime",
    "settings",
    "tests/bench",
    "tests/contracts",
    "tests/database",
    "tests/end_to_end",
    "tests/golden",
    "tests/laws",
    "tests/mutation",
    "tests/restore",
    "tests/support",
    "tests/support_tests",
    "tests/unit",
}


def faults(folder: Path) -> list[Fault]:
    """The identifiers below a folder that a rule forbids, in the order of files and lines."""
    return sorted(
        {
            Fault(name, rule.instead)
            for name in names(folder)
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
        yield from defined_names(place, ast.parse(path.read_text("utf-8")))
    for path in sorted(folder.rglob("*.sql")):
        place = path.relative_to(ROOT).as_posix()
        for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
            if match := re.match(r"-- name: (\w+)", text):
                yield Name(place, number, match[1])


def words_of(identifier: str) -> list[str]:
    """The words of `snake_case` or `CamelCase` in lower case; never empty."""
    return [word.lower() for word in _WORD.findall(identifier)] or [identifier]


def package_of(name: Name) -> str:
    """The package of the service, or the folder of the tests, in which an identifier is defined."""
    parts = name.path.split("/")
    return parts[1].removesuffix(".py") if parts[0] == "service" else "/".join(parts[:2])


def defined_names(place: str, tree: ast.AST) -> Iterator[Name]:
    """The identifiers that a module gives to things, in the order of its syntax tree."""
    labels = {id(target) for node in ast.walk(tree) for target in _labels(node)}
    for node in ast.walk(tree):
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
    """Prints the faults of the places that are named, or of the whole service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*", default=["service"], metavar="PACKAGE")
    listed = [fault for place in parser.parse_args().places for fault in faults(_folder(place))]
    for fault in listed:
        print(f"{fault.name.path}:{fault.name.line}: {fault.name.identifier} -> {fault.instead}")
    print(f"{len(listed)} identifiers to rename")


if __name__ == "__main__":
    main()
