"""Errors that an operator can mend, in words."""

from collections.abc import Sequence

import asyncpg

from service.cli.errors import FAILED, OLDER
from service.kafka.stops import OlderDatabase
from service.problems import Away, OperatorError, summary

# Their texts are ours: field and rule, no value.
PLAIN = (OperatorError, Away)
# Theirs are not: told by their sort alone.
FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


def is_operators(problem: BaseException) -> bool:
    return isinstance(problem, (*PLAIN, *FOREIGN))


def status_of(problem: BaseException) -> int:
    """The exit status: an older database has one of its own, everywhere."""
    return OLDER if isinstance(problem, OlderDatabase) else FAILED


def lines_of(problem: Exception) -> Sequence[str]:
    if isinstance(problem, PLAIN):
        return [str(problem)]
    if isinstance(problem, asyncpg.PostgresError | asyncpg.InterfaceError):
        return [f"the database refused: {summary(problem)}"]
    return [f"not reachable: {summary(problem)}"]
