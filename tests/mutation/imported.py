"""Mutants of what a module does when it is imported: the tests import the mutant instead."""

import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.mutants import Mutant, code_of
from tests.mutation.order import Order
from tests.mutation.reached import Recorder
from tests.mutation.running import limit_from_now, run_tests
from tests.mutation.targets import ROOT, target_of

# Imported once, before the first fork: what the tests need of other people's packages.
PRELOADED = """
    aiokafka alembic asyncpg confluent_kafka.admin hypothesis.strategies iso4217 jiter jsonschema
    lxml.etree orjson prometheus_client pydantic rich.table sqlalchemy.ext.asyncio
    structlog typer yaml
""".split()


class ImportSession:
    """A pytest plugin: lets `loop` collect and run tests in forks, which import each file anew.

    This process has started pytest and imported what is not mutated. A fork imports the mutant with
    the first file of tests, and further files only if those before did not notice it.
    """

    def __init__(self, order: Order, loop: Callable[["ImportSession"], None]) -> None:
        self.order = order
        self.loop = loop
        self.session: pytest.Session

    def pytest_collection(self) -> bool:
        """Nothing is collected yet."""
        return True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in PRELOADED:
            importlib.import_module(name)
        assert not any(name.partition(".")[0] == "service" for name in sys.modules)
        self.session = session
        gc.freeze()  # or each process would write to, and so copy, what it shares with this one
        gc.set_threshold(50_000, 20, 50)  # a fork imports much and ends soon
        self.loop(self)
        return True

    def record(self, files: Sequence[str], output: Path) -> int:
        """Runs files of tests, up to a failure, and writes how long each of them takes."""
        recorder = Recorder()
        for file in files:
            if not self._passes(file, output):
                return 1
            recorder.end(file)
        recorder.write(output)
        return 0

    def test(self, mutant: Mutant, output: Path) -> int:
        """Runs the files of the mutant's tests up to the first failure."""
        path = ROOT / mutant.source
        sys.meta_path.insert(0, _Finder(path, code_of(mutant)))
        for file in self.order.of(mutant, target_of(path).tests):
            limit_from_now(self.order.reached[file].seconds)
            if not self._passes(file, output):
                return 1
        return 0

    def _passes(self, file: str, output: Path) -> bool:
        output.write_text(f"ERROR {file}\n", "utf-8")  # what stands there if it cannot be imported
        items = self.session.perform_collect([file])
        return not self.session.testsfailed and run_tests(items, output)


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
