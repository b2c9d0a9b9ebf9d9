"""What an operator sees of an error: one line, and the exit code that goes with it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import typer

from ..settings import (
    InvalidSettings,
    KafkaSettings,
    Settings,
    read_kafka_settings,
    read_settings,
)

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
OLDER: Final = 3
INCOMPLETE: Final = 4
TRY_AGAIN: Final = 5

Read = TypeVar("Read", bound=KafkaSettings)


def settings_or_exit() -> Settings:
    """The settings; their faults, a line each, are a matter of usage."""
    return _or_exit(read_settings)


def kafka_settings_or_exit() -> KafkaSettings:
    """The same for commands that need no database."""
    return _or_exit(read_kafka_settings)


def _or_exit(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except InvalidSettings as problem:
        for line in problem.problems:
            complain(line)
        raise typer.Exit(USAGE) from None


@contextlib.contextmanager
def operator_errors() -> Iterator[None]:
    """Whatever an operator can mend ends the command with its lines; a bug keeps its traceback."""
    try:
        yield
    except Exception as problem:
        from . import explained  # with the drivers, whose errors it knows

        if not explained.is_operators(problem):
            raise
        for line in explained.lines_of(problem):
            complain(line)
        raise typer.Exit(explained.status_of(problem)) from None


def complain(line: str) -> None:
    print(f"bursar-bridge: {line}", file=sys.stderr)
