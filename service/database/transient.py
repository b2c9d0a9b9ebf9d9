"""Which of the database's errors end by themselves: it restarts, fails over, is full, is held."""

import asyncpg

# Its own classes, by SQLSTATE: 08 connection, 57 operator, 53 resources, 40 rollback, 25 state of
# the transaction (a standby, a session that was ended), 55 lock not available.
TRANSIENT: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.InvalidTransactionStateError,
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,
    asyncpg.InterfaceError,
    # Between the server's farewell and the end of the connection the driver knows no state.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# It answers, and will not have us: nothing but an operator changes that.
REFUSED = (
    asyncpg.exceptions.InvalidAuthorizationSpecificationError,
    asyncpg.exceptions.InvalidCatalogNameError,
    asyncpg.exceptions.InsufficientPrivilegeError,
)
