"""Errors that an operator can mend, in words."""

import ssl
from collections.abc import Sequence

import asyncpg
from aiokafka.errors import IllegalStateError, KafkaError

from ..export.failures import FailingFines
from ..kafka.stops import OlderDatabase
from ..runtime.failures import DATABASE_FAILURES, TRANSIENT
from ..runtime.problems import Bug, OperatorError, Unavailable, summary
from .errors import FAILED, OLDER, TRY_AGAIN

# Their texts are ours: field and rule, no value.
PLAIN = (OperatorError, FailingFines, Unavailable)
FOREIGN = (*DATABASE_FAILURES, KafkaError)
# Nothing is wrong with the command, and the same one may go through later.
IN_THE_WAY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.exceptions.TransactionRollbackError,
)


def is_operators(problem: BaseException) -> bool:
    known = isinstance(problem, (*PLAIN, *FOREIGN, Bug))
    return known and not isinstance(problem, IllegalStateError)  # of the Kafka client: a bug


def status_of(problem: BaseException) -> int:
    """The exit status: an older database, and another session in the way, have their own."""
    if isinstance(problem, IN_THE_WAY):
        return TRY_AGAIN
    return OLDER if isinstance(problem, OlderDatabase) else FAILED


def lines_of(problem: Exception) -> Sequence[str]:
    """What is not ours is told by its class: the text may hold personal data."""
    match problem:
        case OperatorError() | FailingFines() | Unavailable():
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
