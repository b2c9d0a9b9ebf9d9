"""Mutants of what a module does when it is imported: the tests import the mutant instead."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.mutants import Mutant, code_of
from tests.mutation.processes import redirected
from tests.mutation.targets import OPTIONS, ROOT, target_of

# Imported once, before the first fork: what the tests need of other people's packages.
PRELOADED = """
    aiokafka alembic asyncpg confluent_kafka.admin iso4217 jiter jsonschema lxml.etree orjson
    prometheus_client pydantic pydantic_settings rich.table sqlalchemy.ext.asyncio structlog typer
    yaml
""".split()


def preload() -> None:
    """Makes each fork start with what takes longest to import."""
    for name in PRELOADED:
        importlib.import_module(name)


def test_imported(mutant: Mutant, output: Path) -> int:
    """Runs the tests of a mutant until the first failure, in a process that has imported none."""
    path = ROOT / mutant.source
    sys.meta_path.insert(0, _Finder(path, code_of(mutant)))
    with redirected(output):
        for tests in target_of(path).stages:
            if exit_code := int(pytest.main([*OPTIONS, "-x", *tests])):
                sys.stdout.flush()
                return exit_code
    return 0


class _Finder(MetaPathFinder):
    """Finds the mutant under the usual name and place of its module."""

    def __init__(self, path: Path, code: CodeType) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.loader = _Loader(self.name, str(path))
        self.loader.code = code

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return spec_from_file_location(fullname, self.loader.path, loader=self.loader)


class _Loader(SourceFileLoader):
    code: CodeType

    def get_code(self, _fullname: str, /) -> CodeType:
        return self.code
