"""Mutants inside functions: the tests are imported once, and each process changes the functions."""

import functools
import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutation.mutants import Mutant, code_of
from tests.mutation.order import Order
from tests.mutation.reached import Recorder, marked
from tests.mutation.running import limit_from_now, run_tests
from tests.mutation.targets import ROOT, sources, target_of

FunctionKey = tuple[str, str, int]  # file, qualified name, first line


class InPlaceSession:
    """A pytest plugin: collects the tests, and lets `loop` use them instead of running them."""

    def __init__(self, order: Order, loop: Callable[["InPlaceSession"], None]) -> None:
        self.order = order
        self.loop = loop
        self.items: dict[Path, list[pytest.Item]] = defaultdict(list)
        self.functions: dict[FunctionKey, list[FunctionType]] = defaultdict(list)
        self.caches: list[functools._lru_cache_wrapper[object]] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        for item in session.items:
            self.items[item.path].append(item)
        self._find_functions()
        gc.freeze()  # or each process would write to, and so copy, what it shares with this one
        self.loop(self)
        return True

    def record(self, files: Sequence[str], output: Path) -> int:
        """Runs files of tests, up to a failure, and writes what each test calls."""
        for path in sources():
            self._change(marked(path))
        recorder = Recorder()
        if not run_tests(list(self._items_of(files).values()), output, ended=recorder.end):
            return 1
        recorder.write(output)
        return 0

    def test(self, mutant: Mutant, output: Path) -> int:
        """Changes the functions of this process, and runs the mutant's tests up to a failure."""
        self._change(code_of(mutant))
        items = self._items_of(target_of(ROOT / mutant.source).tests)
        in_order = [items[name] for name in self.order.of(mutant, items)]

        def begins(test: str) -> None:
            limit_from_now(self.order.reached[test].seconds)

        return int(not run_tests(in_order, output, begins=begins))

    def _items_of(self, files: Iterable[str]) -> dict[str, pytest.Item]:
        return {item.nodeid: item for name in files for item in self.items[ROOT / name]}

    def _find_functions(self) -> None:
        """All functions of the files that are mutated, wherever something refers to them."""
        files = {str(path) for path in sources()}
        gc.unfreeze()  # what tests/conftest.py has frozen would not be found
        for value in gc.get_objects():
            if isinstance(value, FunctionType):
                if value.__code__.co_filename in files:
                    self.functions[_key(value.__code__)].append(value)
            elif isinstance(value, functools._lru_cache_wrapper):
                self.caches.append(value)
        assert self.functions, "no function is found, so that every mutant would survive"

    def _change(self, code: CodeType) -> None:
        for changed in _all_codes(code):
            for function in self.functions[_key(changed)]:
                function.__code__ = fitting(changed, function)
        for cached in self.caches:
            cached.cache_clear()


def fitting(code: CodeType, function: FunctionType) -> CodeType:
    """The code as the function can have it: a mutant may lack the only use of a variable that the
    function closes over, such as `super()`.
    """
    return code if code.co_freevars else code.replace(co_freevars=function.__code__.co_freevars)


def _key(code: CodeType) -> FunctionKey:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _all_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_codes(constant)
