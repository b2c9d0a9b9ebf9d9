"""How a command ends with an error: its exit codes, its messages on standard error, and the check
of its settings.
"""

import sys
from collections.abc import Callable, Collection
from typing import NoReturn, TypeVar

import typer

from ..settings import InvalidSettings, KafkaSettings, Settings, read_kafka_settings, read_settings
from ..settings.values import checked_processes
from .commands.declare import selection

# The exit codes, as docs/reference/commands.md describes them.
OK, FAILED, USAGE, OLDER, INCOMPLETE, TRY_AGAIN = range(6)

Read = TypeVar("Read", bound=KafkaSettings)


def settings_or_exit() -> Settings:
    """Reads the settings; if some are wrong, prints a line for each of them on standard error and
    ends the command with exit code 2.
    """
    return _or_exit(read_settings)


def kafka_settings_or_exit() -> KafkaSettings:
    """Reads the settings of commands that need no database; if some are wrong, prints a line for
    each of them and ends the command with exit code 2.
    """
    return _or_exit(read_kafka_settings)


def _or_exit(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except InvalidSettings as problem:
        for text in problem.problems:
            complain(text)
        raise typer.Exit(USAGE) from None


def processes_or_exit(option: str | None, settings: Settings) -> str:
    """Returns how many processes `--processes` asks for, or without that option the setting
    BURSAR_PROCESSES: a number as text, or `auto`.

    Ends the command with exit code 2 if the option is neither an allowed number nor `auto`.
    """
    if option is None:
        return settings.processes
    try:
        return checked_processes(option)
    except ValueError as problem:
        raise usage_error(f"--processes: {problem}") from None


def complain(text: str) -> None:
    """Prints `text`, with the program's name before it, as a line on standard error."""
    print(f"bursar-bridge: {text}", file=sys.stderr)


def complain_of_each(problems: Collection[str]) -> None:
    """Prints a line for each problem on standard error; if there is any, ends the command with exit
    code 1.
    """
    for text in problems:
        complain(text)
    if problems:
        raise typer.Exit(FAILED)


def usage_error(rule: str) -> typer.Exit:
    """Prints on standard error which rule the command's options break; returns the exception, with
    exit code 2, that the caller raises.
    """
    complain(rule)
    return typer.Exit(USAGE)


def end_without(kind: str) -> NoReturn:
    """Ends the command with exit code 1, with the message that nothing of this `kind`, such as a
    batch, matches the given options.
    """
    complain(f"no {kind} matches {selection()}")
    raise typer.Exit(FAILED)
