"""The processes that a process has started, as the system lists them."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

MEMORY = re.compile(r"^Vm(?:HWM|RSS):\s+(\d+) kB", re.MULTILINE)


class Process(NamedTuple):
    """A process; `began` tells it from a later one that was given the same number."""

    pid: int
    began: str

    @property
    def is_alive(self) -> bool:
        """Whether it runs; what has ended, and nobody has waited for, does not."""
        cells = _cells(self.pid)
        return cells is not None and cells[0] != "Z" and cells[19] == self.began

    def signal(self, number: int) -> None:
        """Sends it a signal, if it runs."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Memory(NamedTuple):
    """Bytes that a process has in memory: the most so far, and now."""

    peak_bytes: int
    resident_bytes: int


def memory_of(pid: int) -> Memory:
    """As the system counts it; nothing of a process that has ended."""
    try:
        sizes = MEMORY.findall(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        sizes = []
    return Memory(*(int(kb) * 1024 for kb in sizes)) if sizes else Memory(0, 0)


def children_of(pid: int) -> list[Process]:
    """The children of a process that run now, in the order of their starts."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    known = [(int(each), _cells(int(each))) for each in pids]
    running = [(each, cells) for each, cells in known if cells is not None and cells[0] != "Z"]
    return [Process(each, cells[19]) for each, cells in running]


def _cells(pid: int) -> list[str] | None:
    """What the system says of a process, from its state on; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
