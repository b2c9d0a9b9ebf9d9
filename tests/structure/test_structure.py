"""The pictures and the table of docs/architecture.md, compared with the packages themselves."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from itertools import pairwise
from pathlib import Path

import pytest

from tests.structure.count import carriers
from tests.structure.source import nodes_of

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service"
ROOT_FILES_MAX = 6
CARRIERS_MAX = 6
PAGE = ROOT / "docs" / "architecture.md"
_ROW = re.compile(r"^\| `(?P<package>\w+)` \| .* \| (?P<knows>[\w, ]+) \|$", re.MULTILINE)


def _documented() -> dict[str, set[str]]:
    text = PAGE.read_text("utf-8")
    section = text.split("## Structure\n")[1].split("\n## ")[0]
    return {
        row["package"]: set() if row["knows"] == "nothing" else set(row["knows"].split(", "))
        for row in _ROW.finditer(section)
    }


def _package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _imports(path: Path) -> Iterator[str]:
    """The modules of `service` that a file imports, by their full names."""
    folder = ".".join(path.relative_to(ROOT).parts[:-1])
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            name = resolve_name("." * node.level + (node.module or ""), folder)
            yield from (f"{name}.{alias.name}" for alias in node.names)


def _imported() -> dict[str, set[str]]:
    knows: dict[str, set[str]] = {}
    for path in sorted(SERVICE.rglob("*.py")):
        package = path.relative_to(SERVICE).parts[0].removesuffix(".py")
        if package not in ("__init__", "__main__"):
            others = {_package_of(module) for module in _imports(path)} - {package, ""}
            knows.setdefault(package, set()).update(others)
    return knows


def test_the_table_of_packages_is_what_they_import() -> None:
    assert _documented() == _imported()


def _picture() -> list[str]:
    """The boxes of the picture of the layers from top to bottom, in the order of its arrows."""
    picture = PAGE.read_text("utf-8").split("flowchart TB\n")[1].split("```")[0]
    boxes = dict(re.findall(r"\b(l[0-9]+)\[([^]]+)\]", picture))
    arrows = re.findall(r"\b(l[0-9]+)(?:\[[^]]+\])? --> (l[0-9]+)\b", picture)
    names = [arrows[0][0], *(below for _, below in arrows)]
    assert arrows == list(pairwise(names))
    assert sorted(names) == sorted(boxes)
    return [boxes[name] for name in names]


def test_the_picture_of_the_layers_is_that_of_the_linter() -> None:
    """`lint-imports` compares the linter's layers with the imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    layers = [layer.replace(" | ", ", ") for layer in contract["layers"] if layer != "__main__"]
    assert _picture() == layers


def test_each_package_imports_only_what_is_below_it_in_the_picture() -> None:
    layers = [box.split(", ") for box in _picture()]
    depth = {package: n for n, layer in enumerate(layers) for package in layer}
    imported = _imported()
    assert depth.keys() == imported.keys()
    upward = [
        f"{package} imports {other}"
        for package, others in imported.items()
        for other in sorted(others)
        if depth[other] <= depth[package]
    ]
    assert upward == []


def test_the_layers_have_no_exception() -> None:
    """Every package is in a layer, and no contract passes over an import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    assert [contract for contract in contracts if "ignore_imports" in contract] == []
    assert [contract["exhaustive"] for contract in contracts if "layers" in contract] == [True]


def test_the_modules_in_the_picture_of_the_data_exist() -> None:
    picture = PAGE.read_text("utf-8").split("flowchart LR\n")[1].split("```")[0]
    modules = re.findall(r"\[(\w+\.\w+)\]", picture)
    assert len(modules) >= 5
    missing = [name for name in modules if not (SERVICE / f"{name.replace('.', '/')}.py").exists()]
    assert missing == []


@pytest.mark.parametrize("name", ["poll", "batch"])
def test_few_types_carry_records_and_batches_and_each_exists(name: str) -> None:
    assert 1 <= len(carriers(ROOT, name)) <= CARRIERS_MAX


def test_the_root_of_the_package_holds_few_files() -> None:
    assert len(list(SERVICE.glob("*.py"))) <= ROOT_FILES_MAX


def test_imports_of_the_package_are_relative() -> None:
    """The wheel installs the package under another name."""
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(SERVICE.rglob("*.py"))
        for node in nodes_of(path)
        if (isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module))
        or (isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names))
    ]
    assert absolute == []


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in ("service", "contracts")
