"""Long work of the processor's beside the event loop, inside a transaction that stays alive."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from .pool import Connection
from .statements import statements

R = TypeVar("R")

# A thread costs a tenth of a millisecond; so few records take less than the loop can spare.
INLINE_RECORDS_MAX: Final = 100
SIGN_OF_LIFE_SECONDS: Final = 2  # the session's own limit is some seconds


async def aside(connection: Connection, records: int, work: Callable[[], R]) -> R:
    """What `work` returns, which is pure and takes time in proportion to `records`.

    In a thread, so that heartbeats to Kafka go on however slow the machine is.
    """
    if records <= INLINE_RECORDS_MAX:
        return work()
    return await kept_alive(connection, asyncio.to_thread(work))


async def kept_alive(connection: Connection, work: Awaitable[R]) -> R:
    """What `work` returns; the session is not idle meanwhile, however long it takes.

    A process that is stopped says nothing: its session ends, and its accounts are free.
    """
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait((task,), timeout=SIGN_OF_LIFE_SECONDS))[0]:
        await connection.fetchval(statements("ledger")["clock"])
    return await task
