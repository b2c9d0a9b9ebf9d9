"""How far the intake and the relay of a stage are, asked also while servers come and go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg

from tests.support.process import Site

# While a server is down it cannot be asked how things are.
UNREACHABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)


class Work(NamedTuple):
    """Counts of records that were applied and acknowledged, and of rows that wait to be sent."""

    applied: int
    acknowledged: int
    queued: int


A_RECORD = Work(1, 0, 0)


async def read_work(site: Site) -> Work:
    """As of now. Raises one of UNREACHABLE."""
    (row,) = await site.rows(
        "SELECT (SELECT coalesce(sum(next_offset), 0) FROM consumer_offset)::bigint AS applied,"
        " (SELECT coalesce(sum(acknowledged_offset + 1), 0) FROM output_offset)::bigint"
        " AS acknowledged, (SELECT count(*) FROM outbox) AS queued"
    )
    return Work(*(int(str(value)) for value in row.values()))


async def has_tables(site: Site) -> bool:
    """Whether the database has its tables: a parent says that it has started before its members
    have made them. Raises one of UNREACHABLE.
    """
    (row,) = await site.rows("SELECT to_regclass('outbox') IS NOT NULL AS is_there")
    return bool(row["is_there"])


async def holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the condition holds; not while the database cannot be asked."""
    try:
        return await condition()
    except UNREACHABLE:
        return False
