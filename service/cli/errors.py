"""How a command ends early: exit codes, lines on standard error, settings that are faulty."""

import sys
from collections.abc import Callable, Collection
from typing import NoReturn, TypeVar

import typer

from ..settings import InvalidSettings, KafkaSettings, Settings, read_kafka_settings, read_settings
from .commands.declare import selection

# The exit codes, as docs/reference/commands.md describes them.
OK, FAILED, USAGE, OLDER, INCOMPLETE, TRY_AGAIN = range(6)

Read = TypeVar("Read", bound=KafkaSettings)


def settings_or_exit() -> Settings:
    """Reads the settings; faulty ones end the command with exit code 2, and a line for each."""
    return _or_exit(read_settings)


def kafka_settings_or_exit() -> KafkaSettings:
    """Reads the settings of commands that need no database; ends the command as above."""
    return _or_exit(read_kafka_settings)


def _or_exit(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except InvalidSettings as problem:
        for text in problem.problems:
            complain(text)
        raise typer.Exit(USAGE) from None


def complain(text: str) -> None:
    """Prints a line for the operator on standard error."""
    print(f"bursar-bridge: {text}", file=sys.stderr)


def complain_of_each(problems: Collection[str]) -> None:
    """Complains of each problem; ends the command with 1 if there is one."""
    for text in problems:
        complain(text)
    if problems:
        raise typer.Exit(FAILED)


def usage_error(rule: str) -> typer.Exit:
    """Complains of a call that has no meaning; returns what is to be raised then."""
    complain(rule)
    return typer.Exit(USAGE)


def end_without(kind: str) -> NoReturn:
    """Ends the command, with exit code 1, because no `kind` of record is what was asked for."""
    complain(f"no {kind} matches {selection()}")
    raise typer.Exit(FAILED)
