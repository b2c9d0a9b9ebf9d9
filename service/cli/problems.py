"""Errors that an operator can correct, as sentences; each ends a command with its exit code."""

import contextlib
import ssl
from collections.abc import Iterator, Sequence

import asyncpg
import typer
from aiokafka.errors import IllegalStateError, KafkaError

from ..runtime.failures import DATABASE_FAILURES, TRANSIENT
from ..runtime.problems import Bug, OlderDatabase, OperatorError, Unavailable, summary
from .errors import FAILED, OLDER, TRY_AGAIN, complain

# Their texts are ours: field and rule, no value.
PLAIN = (OperatorError, Unavailable)
FOREIGN = (*DATABASE_FAILURES, KafkaError)
# Nothing is wrong with the command, and the same one may go through later.
IN_THE_WAY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.exceptions.TransactionRollbackError,
)


@contextlib.contextmanager
def operator_errors() -> Iterator[None]:
    """Ends the command with the lines of an error that an operator can correct.

    Any other error is a bug; it is raised, and its traceback shown.
    """
    try:
        yield
    except Exception as problem:
        if not is_operator_error(problem):
            raise
        for text in error_texts(problem):
            complain(text)
        raise typer.Exit(status_of(problem)) from None


def is_operator_error(problem: BaseException) -> bool:
    """Whether an operator can correct the problem. IllegalStateError of the Kafka client is a bug
    of this program.
    """
    known = isinstance(problem, (*PLAIN, *FOREIGN, Bug))
    return known and not isinstance(problem, IllegalStateError)


def status_of(problem: BaseException) -> int:
    """The exit code: an older database, and another session in the way, have codes of their own."""
    if isinstance(problem, IN_THE_WAY):
        return TRY_AGAIN
    return OLDER if isinstance(problem, OlderDatabase) else FAILED


def error_texts(problem: Exception) -> Sequence[str]:
    """The lines that an operator sees of an error.

    Of an error of another library only the class is named: its text may hold personal data.
    """
    match problem:
        case OperatorError() | Unavailable():
            return str(problem).splitlines()
        case Bug():
            return [f"a fault of this program: {problem}"]
        case _ if isinstance(problem, IN_THE_WAY):
            return [f"another session was in the way: {summary(problem)}; try again later"]
        case asyncpg.PostgresError() if not isinstance(problem, TRANSIENT):
            return [f"the database refuses a statement: {summary(problem)}"]
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return [f"the database was lost, or is busy or full: {summary(problem)}"]
        case ssl.SSLError():
            return [f"TLS, of the BURSAR_KAFKA_..._FILE settings as a rule: {summary(problem)}"]
        case KafkaError():
            return [f"Kafka was lost, or refuses a request: {summary(problem)}"]
        case OSError() if problem.filename is not None:
            return [f"{problem.filename}: {problem.strerror}"]
    return [f"not reachable: {summary(problem)}"]
