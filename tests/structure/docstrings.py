"""Public modules, classes and functions whose docstring is missing or no sentence.

`python -m tests.structure.docstrings` lists those of the service, the demo and the examples with
their places; `python -m tests.structure.docstrings cli core` lists those of some packages.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.structure.source import tree_of

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"
DOCUMENTED = (SERVICE, ROOT / "demo", ROOT / "examples")
WORDS_MIN = 3

Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstring(NamedTuple):
    """A public thing with its docstring, which is empty if it has none."""

    path: str
    line: int
    name: str
    text: str
    signature: str = ""

    @property
    def is_sentence(self) -> bool:
        """Whether the docstring begins with a whole sentence."""
        first = self.text.split("\n\n")[0]
        return (
            len(first.split()) >= WORDS_MIN
            and re.search(r"^[\"'`(]*[A-Z`].*[.!?:)]$", first, re.DOTALL) is not None
        )


def docstrings(folder: Path) -> Iterator[Docstring]:
    """The docstrings of all public things below a folder; empty files need none."""
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
        tree = tree_of(path)
        name = path.relative_to(ROOT).as_posix()
        if tree.body:
            yield _docstring(name, path.stem, tree, "module")
            yield from _within(name, tree)


def package_of(docstring: Docstring) -> str:
    """The package of the service that a docstring is in, or the module of the demo or examples."""
    return docstring.path.split("/")[1].removesuffix(".py")


def _within(path: str, outer: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[Docstring]:
    """Public classes and functions of a module or class, but not those inside functions."""
    for node in outer.body:
        if not isinstance(node, Named) or node.name.startswith("_") or _is_override(node):
            continue
        yield _docstring(path, node.name, node, _signature(node, prefix))
        if isinstance(node, ast.ClassDef):
            yield from _within(path, node, f"{prefix}{node.name}.")


def _is_override(node: Named) -> bool:
    """Whether the thing has its docstring elsewhere."""
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    return any(name in ("overload", "override") or name.endswith(".setter") for name in names)


def _docstring(path: str, name: str, node: ast.Module | Named, signature: str) -> Docstring:
    text = ast.get_docstring(node) or ""
    return Docstring(path, getattr(node, "lineno", 1), name, text, signature)


def _signature(node: Named, prefix: str) -> str:
    """The name of a class, or that of a function with its parameters, with the class around it."""
    if isinstance(node, ast.ClassDef):
        return f"class {prefix}{node.name}"
    names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    return f"{prefix}{node.name}({', '.join(name for name in names if name != 'self')})"


def main() -> None:
    """Prints what is missing in the packages that are named, or in all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    packages = parser.parse_args().packages
    missing = [
        docstring
        for folder in DOCUMENTED
        for docstring in docstrings(folder)
        if not docstring.is_sentence and (not packages or package_of(docstring) in packages)
    ]
    for docstring in missing:
        print(f"{docstring.path}:{docstring.line}: {docstring.name}: {docstring.text[:60]!r}")
    print(f"{len(missing)} docstrings are missing or no sentence")


if __name__ == "__main__":
    main()
