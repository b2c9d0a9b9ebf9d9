"""A fuzzer that is guided by coverage: what reaches new code is kept, and changed further.

The same seed gives the same inputs, as long as the code is the same. An input that makes the target
raise anything but what it may, take too long, or quote a value in a text, is a finding.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from types import CodeType, FrameType
from typing import Any, Protocol

from tests.fuzz.mutations import CANARY, mutated

HANG_SECONDS = 20
KEPT_MAX = 4_000
SERVICE = "/service/"

Edge = tuple[CodeType, int, int]
Trace = Callable[[FrameType, str, object], Any]  # as the interpreter wants it


class Target(Protocol):
    """What is fuzzed."""

    @property
    def name(self) -> str:
        """The name of the target, also in commands and files."""

    def seeds(self) -> Sequence[bytes]:
        """Inputs to begin with."""

    def run(self, data: bytes) -> list[str]:
        """Reads the input. Returns the texts of its errors; raises what is a finding."""

    def names_in(self, data: bytes, /) -> str:
        """What an error may name of the input, because it is no value."""


class Finding(AssertionError):
    """An input on which a target fails."""

    def __init__(self, target: str, why: str, data: bytes) -> None:
        super().__init__(f"{target}: {why}: {data[:2_000]!r}")
        self.target = target
        self.data = data


class Hang(Exception):
    """The target takes longer than it may."""


@dataclass(slots=True)
class Progress:
    """How far a fuzzer is."""

    executions: int = 0
    edges: int = 0
    kept: int = 0


@dataclass
class Fuzzer:
    """Fuzzes one target, from one seed on."""

    target: Target
    seed: int = 0
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.target.name} {self.seed}")
        self._edges: set[Edge] = set()
        self._kept: list[bytes] = []

    def run(self, executions: int | None = None, seconds: float | None = None) -> Progress:
        """Tries all seeds of the target, and then so many changed inputs, or for so long.

        Raises Finding.
        """
        seeds = self.target.seeds()
        for data in seeds:
            self.try_input(data)
        end_ns = None if seconds is None else time.monotonic_ns() + int(seconds * 1_000_000_000)
        while (executions is None or self.progress.executions < executions) and (
            end_ns is None or time.monotonic_ns() < end_ns
        ):
            pool = self._random.choice((seeds, self._kept))
            self.try_input(mutated(self._random, self._random.choice(pool), pool))
        return self.progress

    def try_input(self, data: bytes) -> None:
        """Tries one input, and keeps it if it reaches new code. Raises Finding."""
        texts, edges = self._traced(data)
        for text in texts:
            for word in CANARY.findall(text):
                if word not in self.target.names_in(data):
                    raise Finding(self.target.name, f"a text quotes a value: {text!r}", data)
        self.progress.executions += 1
        if not edges <= self._edges or not self._kept:
            self._edges |= edges
            self._keep(data)
        self.progress.edges, self.progress.kept = len(self._edges), len(self._kept)

    def _keep(self, data: bytes) -> None:
        if len(self._kept) >= KEPT_MAX:
            self._kept.pop(self._random.randrange(KEPT_MAX))
        self._kept.append(data)

    def _traced(self, data: bytes) -> tuple[list[str], set[Edge]]:
        with _edges() as edges, _limited():
            try:
                texts = self.target.run(data)
            except Hang:
                why = f"takes more than {HANG_SECONDS} s"
                raise Finding(self.target.name, why, data) from None
            except Exception as problem:
                why = f"raises {type(problem).__name__}"
                raise Finding(self.target.name, why, data) from problem
        return texts, edges


@contextlib.contextmanager
def _edges() -> Iterator[set[Edge]]:
    """Collects which line follows which, in the code of the service."""
    edges: set[Edge] = set()

    def local_of(frame: FrameType) -> Trace:
        last = 0

        def local(_: FrameType, event: str, __: object) -> Trace:
            nonlocal last
            if event == "line":
                edges.add((frame.f_code, last, frame.f_lineno))
                last = frame.f_lineno
            return local

        return local

    def begin(frame: FrameType, _: str, __: object) -> Trace | None:
        return local_of(frame) if SERVICE in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        yield edges
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
