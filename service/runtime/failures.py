"""The failures of the database, of Kafka and of the network: which of them end by themselves, and
what causes them.

One table gives traits to classes of exceptions; an exception has the traits of every class in the
table of which it is an instance. The parts of the service catch exceptions by the groups of classes
that are defined below the table, so that all of them treat a failure in the same way.
"""

from collections.abc import Awaitable, Callable
from enum import Flag, auto
from typing import TypeVar

import asyncpg
from aiokafka.errors import ConsumerStoppedError, KafkaError
from asyncpg import exceptions as postgres

from .problems import OperatorError, Unavailable

R = TypeVar("R")


class StaleRead(Exception):
    """Rows that were read before they were locked have changed meanwhile; the whole commit has to
    be made again.
    """


class Fenced(Exception):
    """The offset of a partition is not the one that this process stored, because another process
    owns the partition.

    The caller has to drop the records that it has just read from Kafka, and load the offsets again.
    """


class ConsumerLost(Exception):
    """The Kafka consumer cannot be used any more; the caller makes another one after a pause."""


class SendFailed(Exception):
    """Sending to Kafka failed for a reason other than the records or their topic; the records have
    to be sent again with a new producer.
    """


class Trait(Flag):
    """A property of a class of exceptions, such as that the failure ends by itself."""

    DATABASE = auto()  # raised by PostgreSQL or its driver
    KAFKA = auto()
    PASSING = auto()  # ends by itself: a restart, a fail-over, a full disk, a lock
    SCHEMA = auto()  # a migration changed the result of a prepared statement
    RIVAL = auto()  # the same commit may succeed: another session was faster or holds a lock
    ROLLBACK = auto()  # PostgreSQL chose this transaction as the victim of a conflict
    LIMIT = auto()  # may be a time limit, so that a commit of fewer records may succeed
    CONTENT = auto()  # the database never stores these rows: one of the records is the cause
    LOGIN = auto()  # the server answers but does not admit the service: an operator has to act
    SERVICE = auto()  # raised by the service about its surroundings, not about a record
    RESUME = auto()  # the part that raised it continues, with a new client or reloaded offsets


_TRAITS: dict[type[Exception], Trait] = {
    asyncpg.PostgresError: Trait.DATABASE,
    asyncpg.InterfaceError: Trait.DATABASE | Trait.PASSING | Trait.LIMIT,
    # The driver raises it for a connection that the server is about to close.
    asyncpg.InternalClientError: Trait.DATABASE | Trait.PASSING,
    OSError: Trait.DATABASE | Trait.PASSING,
    TimeoutError: Trait.DATABASE | Trait.PASSING | Trait.LIMIT,
    # Classes of SQLSTATE: 08, 57, 53, 40, 25 (a standby, or a session that was ended) and 55.
    postgres.PostgresConnectionError: Trait.PASSING | Trait.LIMIT,
    postgres.OperatorInterventionError: Trait.PASSING,
    postgres.QueryCanceledError: Trait.LIMIT,
    postgres.InsufficientResourcesError: Trait.PASSING,
    postgres.TransactionRollbackError: Trait.PASSING | Trait.ROLLBACK,
    postgres.DeadlockDetectedError: Trait.RIVAL,
    postgres.SerializationError: Trait.RIVAL,
    postgres.InvalidTransactionStateError: Trait.PASSING | Trait.LIMIT,
    postgres.ObjectNotInPrerequisiteStateError: Trait.PASSING,
    postgres.LockNotAvailableError: Trait.RIVAL | Trait.LIMIT,
    # The driver prepares its statements again, but not inside the transaction that failed.
    postgres.InvalidCachedStatementError: Trait.PASSING | Trait.SCHEMA | Trait.RIVAL,
    postgres.OutdatedSchemaCacheError: Trait.PASSING | Trait.SCHEMA | Trait.RIVAL,
    # It passes while a database takes the place of another one of its name, but not at a start.
    postgres.InvalidCatalogNameError: Trait.PASSING | Trait.LOGIN,
    postgres.InvalidAuthorizationSpecificationError: Trait.LOGIN,
    postgres.InsufficientPrivilegeError: Trait.LOGIN,
    postgres.DataError: Trait.CONTENT,
    postgres.IntegrityConstraintViolationError: Trait.CONTENT,
    postgres.UniqueViolationError: Trait.RIVAL,
    postgres.ProgramLimitExceededError: Trait.CONTENT,
    # If the rival is there after all tries, the record that depends on it is looked for.
    StaleRead: Trait.RIVAL | Trait.CONTENT,
    Fenced: Trait.SERVICE | Trait.RESUME,
    Unavailable: Trait.SERVICE | Trait.RESUME,
    OperatorError: Trait.SERVICE,
    ConsumerLost: Trait.RESUME,
    SendFailed: Trait.RESUME,
    KafkaError: Trait.KAFKA,
    ConsumerStoppedError: Trait.KAFKA,
}


def classes(traits: Trait) -> tuple[type[Exception], ...]:
    """Returns the exception classes of the table that have at least one of the traits, as a tuple
    for `except`.
    """
    return tuple(kind for kind, its_traits in _TRAITS.items() if its_traits & traits)


DATABASE_FAILURES = classes(Trait.DATABASE)
TRANSIENT = classes(Trait.PASSING)
SCHEMA_CHANGED = classes(Trait.SCHEMA)
LOGIN_FAILED = classes(Trait.LOGIN)
# The commit is made again as it is.
RETRYABLE = classes(Trait.RIVAL)
# Fewer records, or the same ones later, may be committed.
TIME_LIMITS = classes(Trait.LIMIT)
IN_THE_WAY = classes(Trait.LIMIT | Trait.ROLLBACK)
# One of the records that were decided together is the cause. So it is for every exception that is
# not of the surroundings: the program fails on that record.
BAD_CONTENT = classes(Trait.CONTENT)
SURROUNDINGS = classes(Trait.DATABASE | Trait.SERVICE)
# What a part of the process waits for, and after which it tries again.
UNAVAILABLE: tuple[type[Exception], ...] = (*TRANSIENT, Unavailable)
INTAKE_RETRIES = classes(Trait.PASSING | Trait.KAFKA | Trait.RESUME)
RELAY_RETRIES = classes(Trait.DATABASE | Trait.KAFKA | Trait.RESUME)


async def with_current_schema(work: Callable[[], Awaitable[R]]) -> R:
    """Runs `work`, which has to make a whole transaction, and returns its result.

    If a migration changed the schema meanwhile, the transaction is run a second time. The write
    path does not need this function: it repeats its commits itself.
    """
    try:
        return await work()
    except SCHEMA_CHANGED:
        return await work()
