"""Which functions of the mutated files a test calls, and how long the test takes."""

import ast
import builtins
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from tests.mutation.targets import ROOT

FunctionPlace = tuple[str, int]  # the file, from the root of the repository, and the line of `def`
SECONDS_MIN = 0.001  # the clock cannot tell shorter times apart
_CALLED = "_called_by_this_test"


@dataclass(frozen=True, slots=True)
class Reached:
    """What a test calls of the mutated files, and its CPU time without a mutant."""

    functions: frozenset[FunctionPlace]
    seconds: float


class Recorder:
    """Notes what each test calls. The functions of the process must have the `marked` code."""

    def __init__(self) -> None:
        self._called: set[FunctionPlace] = set()
        self._tests: dict[str, Reached] = {}
        vars(builtins)[_CALLED] = self._called.add
        self._began_at = time.process_time()

    def end(self, test: str) -> None:
        """Notes under the name of the test what was called since the test before ended."""
        now = time.process_time()
        seconds = max(now - self._began_at, SECONDS_MIN)
        self._tests[test] = Reached(frozenset(self._called), seconds)
        self._called.clear()
        self._began_at = now

    def write(self, file: Path) -> None:
        """Writes all notes into a file, from which `read` takes them."""
        notes = {
            test: [reached.seconds, sorted(reached.functions)]
            for test, reached in self._tests.items()
        }
        file.write_text(json.dumps(notes), "utf-8")


def read(file: Path) -> Mapping[str, Reached]:
    """What a recorder has written, by the names of the tests."""
    notes = json.loads(file.read_text("utf-8"))
    return {
        test: Reached(frozenset((name, line) for name, line in functions), seconds)
        for test, (seconds, functions) in notes.items()
    }


def marked(path: Path) -> CodeType:
    """The compiled module of a file; each of its functions first notes that it is called."""
    tree = ast.parse(path.read_text("utf-8"))
    source = str(path.relative_to(ROOT))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        place: FunctionPlace = source, function.lineno
        note = ast.parse(f"{_CALLED}({place!r})").body[0]
        for node in ast.walk(note):
            ast.copy_location(node, function.body[0])
        function.body.insert(0, note)
    return compile(tree, str(path), "exec")
