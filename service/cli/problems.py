"""Turns exceptions that an operator can correct into messages on standard error and an exit code of
the command.
"""

import contextlib
import ssl
from collections.abc import Iterator, Sequence

import asyncpg
import typer
from aiokafka.errors import IllegalStateError, KafkaError

from ..restore.findings import TopicUnreadable
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
    """If an exception that an operator can correct comes out of the block, prints its message and
    ends the command with its exit code.

    Any other exception is a bug of the program: it is passed on, so that its traceback is shown.
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
    """Returns whether `problem` is an error that an operator can correct, such as an unreachable
    database, and no bug of this program. IllegalStateError is the exception among those of the
    Kafka client that counts as a bug of this program.
    """
    known = isinstance(problem, (*PLAIN, *FOREIGN, Bug))
    return known and not isinstance(problem, IllegalStateError)


def status_of(problem: BaseException) -> int:
    """Returns the exit code for an error: 3 if the database is older than Kafka or a topic cannot
    be read to find that out, 5 if another database session was in the way, else 1.
    """
    if isinstance(problem, IN_THE_WAY):
        return TRY_AGAIN
    return OLDER if isinstance(problem, OlderDatabase | TopicUnreadable) else FAILED


def error_texts(problem: Exception) -> Sequence[str]:
    """Returns the lines that are printed for an error.

    For an error of a library, such as the database driver, only its class is named, because its
    text may hold personal data.
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
