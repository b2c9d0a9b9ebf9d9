"""What an operator sees of an error: one line, and the exit code that goes with it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import asyncpg
import typer

from service.export.profiles import InvalidProfile
from service.kafka.stops import OlderDatabase
from service.problems import Away, OperatorError, summary
from service.settings import (
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

# Their texts are ours: field and rule, no value.
PLAIN = (OperatorError, InvalidProfile, Away)
# Theirs are not: told by their sort alone.
FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


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
    """Whatever an operator can mend ends the command with its line; a bug keeps its traceback."""
    try:
        yield
    except (*PLAIN, *FOREIGN) as problem:
        complain(line_of(problem))
        raise typer.Exit(status_of(problem)) from None


def status_of(problem: BaseException) -> int:
    """The exit status: an older database has one of its own, everywhere."""
    return OLDER if isinstance(problem, OlderDatabase) else FAILED


def line_of(problem: Exception) -> str:
    if isinstance(problem, PLAIN):
        return str(problem)
    if isinstance(problem, asyncpg.PostgresError | asyncpg.InterfaceError):
        return f"the database refused: {summary(problem)}"
    return f"not reachable: {summary(problem)}"


def complain(line: str) -> None:
    print(f"bursar-bridge: {line}", file=sys.stderr)
