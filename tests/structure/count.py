"""Counts what keeps the code easy to read: statements, sizes, ignores, steps and carriers.

python -m tests.structure.count                   what can be counted in the source
python -m tests.structure.count --rev REVISION    the same of an older revision
python -m tests.structure.count --way             also traces a fine and a batch on real services
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.structure.source import nodes_of, text_of
from tests.structure.way import measure_way
from tests.support.services import running_services

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 300
CARRIERS = {
    "poll": "carrier types of a batch of records",
    "batch": "carrier types of an export batch",
}
_IGNORES = {"type: ignore": re.compile(r"# type: ignore"), "noqa": re.compile(r"# noqa")}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Prints the counts of this source tree, or of a revision of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rev", help="a revision instead of the working tree")
    parser.add_argument("--way", action="store_true", help="also trace a fine and a batch")
    arguments = parser.parse_args()
    with _tree(arguments.rev) as root:
        for name, value in counts(root):
            print(f"{name:48} {value}")
        if arguments.way:
            for name, value in asyncio.run(_way(root)):
                print(f"{name:48} {value}")


def counts(root: Path) -> Iterator[tuple[str, object]]:
    """Names and values of everything that is counted in the source of a tree."""
    service = _files(root / "service")
    lengths = {place: length for path in service for place, length in functions(path)}
    longest = max(lengths, key=lambda place: lengths[place])
    yield "statements in service/", sum(map(statements, service))
    for package, files in _packages(root).items():
        yield f"  {package}", f"{sum(map(statements, files))} in {len(files)} files"
    yield "functions in service/", len(lengths)
    yield "  median length in lines", statistics.median(lengths.values())
    yield "  longest", f"{lengths[longest]} lines, {longest}"
    for folder in ("service", "tests"):
        files = _files(root / folder)
        yield f"files in {folder}/", len(files)
        yield f"  over {FILE_LINES_MAX} lines", len(long_files(files))
        yield "  lines", sum(map(lines, files))
        for name, count in ways_round_checks(files).items():
            yield f"  {name}", count
    for name, title in CARRIERS.items():
        yield title, len(carriers(root, name))


def statements(path: Path) -> int:
    """The number of statements of a file, without docstrings."""
    return sum(isinstance(node, ast.stmt) and not _is_text(node) for node in nodes_of(path))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The place of each function and its length in lines, without decorators."""
    for node in nodes_of(path):
        if isinstance(node, Function) and node.end_lineno is not None:
            yield f"{path.name} {node.name}", node.end_lineno - node.lineno + 1


def uses_of_any(path: Path) -> int:
    """How often a file uses `typing.Any`, imports not counted."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes_of(path))


def ways_round_checks(files: list[Path]) -> dict[str, int]:
    """How often the files use `Any`, `type: ignore` and `noqa`, by these names."""
    return {"Any": sum(map(uses_of_any, files))} | {
        name: sum(len(pattern.findall(text_of(path))) for path in files)
        for name, pattern in _IGNORES.items()
    }


def long_files(files: list[Path]) -> list[Path]:
    """Those of the files that have more than `FILE_LINES_MAX` lines."""
    return [path for path in files if lines(path) > FILE_LINES_MAX]


def lines(path: Path) -> int:
    """The number of lines of a file."""
    return len(text_of(path).splitlines())


def carriers(root: Path, name: str) -> dict[str, str]:
    """The types that carry a batch from step to step, with their files, from docs/architecture.md.

    `name` is `poll` for a batch of records or `batch` for an export batch. Raises LookupError if a
    type that is listed does not exist.
    """
    text = text_of(root / "docs" / "architecture.md")
    section = re.search(rf"<!-- carriers {name} -->(.*?)<!-- /carriers {name} -->", text, re.DOTALL)
    listed = re.findall(
        r"^\| `(\w+)` \| `([\w/.]+)` \|", section[1] if section else "", re.MULTILINE
    )
    for type_name, file in listed:
        if not re.search(rf"^(?:class )?{type_name}\b", text_of(root / file), re.MULTILINE):
            raise LookupError(f"docs/architecture.md: {file} has no type {type_name}")
    return dict(listed)


async def _way(root: Path) -> list[tuple[str, object]]:
    with running_services() as services, tempfile.TemporaryDirectory() as folder:
        way = await measure_way(services, root, Path(folder))
    return [
        ("modules on a fine's way", len(way.modules)),
        *((f"  {module}", "") for module in sorted(way.modules)),
        ("functions on a fine's way", len(way.functions)),
        ("reads of the fines per poll", len(way.reads_of_poll)),
        *((f"  {_first_words(text)}", "") for text in way.reads_of_poll),
        ("reads of the fines per export batch", len(way.reads_of_batch)),
        *((f"  {_first_words(text)}", "") for text in way.reads_of_batch),
    ]


def _first_words(statement: str) -> str:
    return " ".join(statement.split())[:100]


def _packages(root: Path) -> dict[str, list[Path]]:
    packages: dict[str, list[Path]] = {}
    for path in _files(root / "service"):
        name = path.relative_to(root / "service").parts[0].removesuffix(".py")
        packages.setdefault(name, []).append(path)
    return packages


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case _:
            return False


@contextmanager
def _tree(revision: str | None) -> Iterator[Path]:
    """The working tree, or a revision in a work tree of its own that is removed afterwards."""
    if revision is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


if __name__ == "__main__":
    main()
