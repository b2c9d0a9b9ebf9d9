"""The order in which workers side by side take the tests: what waits for servers first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path

import pytest

# Folders of tests that start programs and wait for them; the others compute.
WAITING = frozenset({"bench", "end_to_end", "restore", "simulator"})


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """As many runs of equal length as there are workers, each with its share of what waits first.

    pytest-xdist gives each worker such a run, and lets those that are done take from the ends of
    the others. A test that waits long is then not the last one.
    """
    modules = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    waiting = [tests for tests in modules if _waits(tests[0].path)]
    computing = iter([item for tests in modules if not _waits(tests[0].path) for item in tests])
    result: list[pytest.Item] = []
    for worker in range(workers):
        end = len(items) * (worker + 1) // workers
        result += [item for tests in waiting[worker::workers] for item in tests]
        result += islice(computing, max(0, end - len(result)))
    return [*result, *computing]


def _waits(path: Path) -> bool:
    return not WAITING.isdisjoint(path.parts)
