"""Forked processes, one for each mutant: what it changes and breaks ends with its process."""

import contextlib
import os
import re
import resource
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tests.mutation.targets import FOLDER

MEMORY_BYTES_MAX = 4 * 1024**3
COULD_NOT_RUN = 70

J = TypeVar("J")
Work = Callable[[J, Path], int]  # a job, and where the process may write; returns an exit code


@dataclass(frozen=True, slots=True)
class Ended(Generic[J]):
    """A job that ended; `exit_code` is None where a limit or another signal ended it."""

    job: J
    exit_code: int | None
    cpu_seconds: int
    output: Path


def run_all(
    jobs: Sequence[J], work: Work[J], processes: int, cpu_seconds_max: int
) -> Iterator[Ended[J]]:
    """Runs each job in a process of its own, `processes` side by side, and yields it as it ends.

    After `cpu_seconds_max` the process of a job ends in any case. Raises RuntimeError for work
    that raises: it must not look like a mutant that was noticed.
    """
    waiting = list(reversed(jobs))
    running: dict[int, J] = {}
    while running or waiting:
        while waiting and len(running) < processes:
            job = waiting.pop()
            running[_start(job, work, cpu_seconds_max)] = job
        child, status, usage = os.wait4(-1, 0)
        exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        if exit_code == COULD_NOT_RUN:  # a fault of ours, not of the mutant
            raise RuntimeError(_output_of(child).read_text("utf-8"))
        cpu_seconds = round(usage.ru_utime + usage.ru_stime)
        yield Ended(running.pop(child), exit_code, cpu_seconds, _output_of(child))


def _start(job: J, work: Work[J], cpu_seconds_max: int) -> int:
    child = os.fork()
    if child:
        return child
    exit_code = COULD_NOT_RUN
    try:
        _output_of(os.getpid()).unlink(missing_ok=True)  # of an earlier process
        _limit(cpu_seconds_max)
        exit_code = work(job, _output_of(os.getpid()))
    except Exception:  # noqa: BLE001 - the parent raises it
        _output_of(os.getpid()).write_text(traceback.format_exc(), "utf-8")
    finally:
        os._exit(exit_code)  # nothing of the parent's is run or flushed a second time


def _limit(cpu_seconds_max: int) -> None:
    """A mutant may loop for ever or fill the memory: both end its process."""
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_seconds_max),
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _output_of(child: int) -> Path:
    """One of a hundred names: process ids are many."""
    return FOLDER / f"output-{child % 100}.txt"


def first_failure(ended: Ended[J]) -> str | None:
    """The test that failed, or in which a limit ended the process; else the file that could not be
    imported. None if the tests could not run.
    """
    printed = ended.output.read_text("utf-8", errors="replace") if ended.output.exists() else ""
    failed = re.match(r"(?:FAILED|ERROR) (.+)$", printed)
    return failed[1] if failed else None


@contextlib.contextmanager
def redirected(output: Path) -> Iterator[None]:
    """What this process prints goes to a file meanwhile, whoever prints it."""
    kept = os.dup(1), os.dup(2)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        yield
    finally:
        for standard, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, standard)
            os.close(copy)
        os.close(descriptor)
