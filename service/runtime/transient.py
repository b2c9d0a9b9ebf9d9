"""Which of the database's errors end by themselves: it restarts, fails over, is full, is held."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

R = TypeVar("R")

# A migration changed what a prepared statement returns. The driver forgets its statements with the
# error, but inside a transaction it cannot prepare them again by itself: the transaction is over.
SCHEMA_CHANGED: tuple[type[Exception], ...] = (
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
# Its own classes, by SQLSTATE: 08 connection, 57 operator, 53 resources, 40 rollback, 25 state of
# the transaction (a standby, a session that was ended), 55 lock not available.
TRANSIENT: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.InvalidTransactionStateError,
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,
    # While another database takes its place under the same name; at a start it is REFUSED.
    asyncpg.exceptions.InvalidCatalogNameError,
    *SCHEMA_CHANGED,
    asyncpg.InterfaceError,
    # Between the server's farewell and the end of the connection the driver knows no state.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# It answers, and will not have us: nothing but an operator changes that.
REFUSED: tuple[type[Exception], ...] = (
    asyncpg.exceptions.InvalidAuthorizationSpecificationError,
    asyncpg.exceptions.InvalidCatalogNameError,
    asyncpg.exceptions.InsufficientPrivilegeError,
)


async def with_current_schema(work: Callable[[], Awaitable[R]]) -> R:
    """Runs `work`, a whole transaction, a second time if the schema changed before the first one.

    For transactions outside the write path, which repeats its own.
    """
    try:
        return await work()
    except SCHEMA_CHANGED:
        return await work()
