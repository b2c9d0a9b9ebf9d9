"""Errors that an operator has to correct, and the description of any exception as log fields that
quote no data.
"""

import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import asyncpg
from aiokafka.errors import KafkaError

R = TypeVar("R")
FRAMES_MAX = 12
CAUSES_MAX = 5


class Unavailable(Exception):
    """Something outside the process cannot be reached for the moment; the work is tried again. The
    text of the exception quotes no values from records.
    """


class OperatorError(Exception):
    """An error that a person has to correct. This error ends the process, which prints its text as
    one line without a traceback; the text quotes no values from records.
    """


class OlderDatabase(OperatorError):
    """Kafka, or this process, knows of commits that the database lacks: the database was replaced
    by an older one.

    Nothing may be written to such an older database. Every process and every command that meets
    this error ends with the same exit status.
    """


class OtherHistory(OperatorError):
    """An input topic is not the one that was read before: it was created again, or its latest
    records were removed.
    """


class RecordsGone(OperatorError):
    """Kafka deleted records from an input topic before the service had read them."""


class Bug(Exception):
    """A fault of this program. The text says where in the program the fault is, and quotes no
    values from records.
    """


def result_or_exception(work: Callable[[], R]) -> R | Exception:
    """Returns what `work` returns, or the exception that it raises.

    Callers use this function to process many records or fines one by one, and to raise the
    exceptions only after all of them were tried.
    """
    try:
        return work()
    except Exception as problem:  # noqa: BLE001 - the caller raises it, with its record or fine
        return problem


def describe(problem: BaseException) -> dict[str, object]:
    """Returns the type of an exception, the places in the code and its causes as log fields.

    The text of the exception is included only if it comes from this program, the operating system
    or the Kafka client, because a text of the database or of a parser may quote a name or an
    amount.
    """
    fields: dict[str, object] = {"type": type(problem).__qualname__}
    if isinstance(problem, OperatorError | KafkaError | OSError | Unavailable | Bug):
        fields["text"] = str(problem)
    if isinstance(problem, asyncpg.PostgresError):
        names = {
            "sqlstate": problem.sqlstate,
            "constraint": getattr(problem, "constraint_name", None),
            "table": getattr(problem, "table_name", None),
        }
        fields |= {key: name for key, name in names.items() if name}
    if isinstance(problem, BaseExceptionGroup):
        fields["within"] = [describe(inner) for inner in problem.exceptions]
    if places := list(_places(problem)):
        fields["at"] = places
    if causes := [type(cause).__qualname__ for cause in islice(causes_of(problem), CAUSES_MAX)]:
        fields["causes"] = causes
    return fields


def summary(problem: BaseException) -> str:
    """Returns the description of an exception as one line for a terminal."""
    if isinstance(problem, BaseExceptionGroup):
        return "; ".join(summary(inner) for inner in problem.exceptions)
    fields = describe(problem)
    details = [str(fields[key]) for key in ("text", "sqlstate", "constraint") if fields.get(key)]
    return ": ".join([str(fields["type"]), *details])


def _places(problem: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(problem.__traceback__)[-FRAMES_MAX:]:
        path = Path(frame.filename)
        yield f"{path.parent.name}/{path.name}:{frame.lineno} {frame.name}"


def causes_of(problem: BaseException) -> Iterator[BaseException]:
    """Yields the exception's cause or context, then the one of that exception, and so on."""
    passed = {id(problem)}
    while (cause := problem.__cause__ or problem.__context__) and id(cause) not in passed:
        yield cause
        passed.add(id(cause))
        problem = cause
