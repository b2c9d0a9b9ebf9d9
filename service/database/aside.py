"""Long work of the processor's beside the event loop, inside a transaction that stays alive."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from service.database.pool import Connection
from service.database.statements import statements

R = TypeVar("R")

# A thread costs a tenth of a millisecond; so few records take less than the loop can spare.
INLINE_RECORDS_MAX: Final = 100
SIGN_OF_LIFE_SECONDS: Final = 2  # the session's own limit is some seconds


async def aside(connection: Connection, records: int, work: Callable[[], R]) -> R:
    """What `work` returns, which is pure and takes time in proportion to `records`.

    In a thread, so that heartbeats to Kafka go on however slow the machine is. The session is not
    idle meanwhile; that of a process that is stopped ends, and its accounts are free.
    """
    if records <= INLINE_RECORDS_MAX:
        return work()
    task = asyncio.ensure_future(asyncio.to_thread(work))
    while not (await asyncio.wait((task,), timeout=SIGN_OF_LIFE_SECONDS))[0]:
        await connection.fetchval(statements("ledger")["clock"])
    return await task
