"""The auditor shares no code with the service: a fault of the service must not hide itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.structure.source import nodes_of

ROOT = Path(__file__).parents[2]
AUDITOR = ROOT / "tests" / "auditor"
# Modules of the tests that the auditor uses; what they import counts as its imports.
SHARED = ("tests.oracle.texts",)


def _imports(path: Path) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _is_allowed(module: str) -> bool:
    if module.split(".")[0] in ("service", "contracts", "demo", "examples"):
        return False
    is_of_tests = module.split(".")[0] == "tests"
    return not is_of_tests or module in SHARED or module.startswith("tests.auditor")


def test_the_auditor_imports_nothing_of_the_service() -> None:
    shared = [ROOT / f"{module.replace('.', '/')}.py" for module in SHARED]
    packages = [path.parent / "__init__.py" for path in shared]
    files = [*AUDITOR.rglob("*.py"), *shared, *packages]
    assert len(files) > 10
    imports = {(path.name, module) for path in files for module in _imports(path)}
    assert [each for each in sorted(imports) if not _is_allowed(each[1])] == []
