"""Runs the tests of one mutant, or of none, in a process of its own."""

import math
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path

import pytest

from tests.mutation.targets import OPTIONS

# A mutant may need so much more than the code itself before it counts as one that never ends.
CPU_FACTOR, CPU_SECONDS_EXTRA = 2, 10


def run_tests(
    items: Sequence[pytest.Item],
    output: Path,
    *,
    begins: Callable[[str], None] = lambda _: None,
    ended: Callable[[str], None] = lambda _: None,
) -> bool:
    """Runs tests up to the first failure, and writes the name of the latest one to `output`.

    Returns whether all of them pass. `begins` and `ended` are called with the name of each test.
    """
    for item, following in pairwise(chain(items, (None,))):
        assert item is not None
        output.write_text(f"FAILED {item.nodeid}\n", "utf-8")  # a limit may end the process in it
        begins(item.nodeid)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed:
            return False
        ended(item.nodeid)
    return True


def cpu_seconds_max(seconds: float) -> int:
    """How long a mutant may take for what takes so many seconds without one."""
    return math.ceil(CPU_FACTOR * seconds + CPU_SECONDS_EXTRA)


def limit_from_now(seconds: float) -> None:
    """Lets the system end this process if the next tests take far more than these seconds."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time()) + cpu_seconds_max(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (min(until, most), most))


def run_session(plugin: object, files: Iterable[str]) -> int:
    """Runs pytest in this process, with a plugin that decides what is done with the files."""
    return int(pytest.main([*OPTIONS, *files], plugins=[plugin]))
