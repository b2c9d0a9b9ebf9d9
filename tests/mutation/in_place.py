"""Mutants inside functions: the tests are imported once, and each process changes the functions."""

import functools
import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutation.mutants import Mutant, code_of
from tests.mutation.targets import OPTIONS, ROOT, TARGETS, Target, sources, target_of

FunctionKey = tuple[str, str, int]  # file, qualified name, first line


class Session:
    """A pytest plugin: collects the tests, and lets `loop` use them instead of running them."""

    def __init__(self, loop: Callable[["Session"], None]) -> None:
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

    def test_in_place(self, mutant: Mutant, output: Path) -> int:
        """Changes the functions of this process, and runs the mutant's tests up to a failure."""
        self._change(code_of(mutant))
        return self.test(target_of(ROOT / mutant.source), output)

    def test(self, target: Target, output: Path) -> int:
        """Runs the tests of a target up to the first failure, which it writes to `output`."""
        items = [item for tests in target.stages for item in self._items_of(tests)]
        for item, following in zip(items, (*items[1:], None), strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if item.session.testsfailed:
                output.write_text(f"FAILED {item.nodeid}\n", "utf-8")
                return 1
        return 0

    def _items_of(self, tests: tuple[str, ...]) -> Iterator[pytest.Item]:
        for path, items in self.items.items():
            if any(path.is_relative_to(ROOT / name) for name in tests):
                yield from items

    def _find_functions(self) -> None:
        """All functions of the files that are mutated, wherever something refers to them."""
        files = {str(path) for path in sources()}
        for value in gc.get_objects():
            if isinstance(value, FunctionType):
                if value.__code__.co_filename in files:
                    self.functions[_key(value.__code__)].append(value)
            elif isinstance(value, functools._lru_cache_wrapper):
                self.caches.append(value)

    def _change(self, code: CodeType) -> None:
        for changed in _all_codes(code):
            for function in self.functions[_key(changed)]:
                function.__code__ = changed
        for cached in self.caches:
            cached.cache_clear()


def run_session(loop: Callable[[Session], None]) -> int:
    """Collects all tests of all targets in this process and calls `loop`. Returns an exit code."""
    stages = [stage for target in TARGETS for stage in target.stages]
    files = dict.fromkeys(name for stage in stages for name in stage)
    return int(pytest.main([*OPTIONS, *files], plugins=[Session(loop)]))


def _key(code: CodeType) -> FunctionKey:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _all_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_codes(constant)
