"""What PostgreSQL has counted in a database: deadlocks, and transactions that were rolled back."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from tests.bench.world import POLL_SECONDS
from tests.support.services import Services

ENDED_SECONDS_MAX = 30
# A session that ends writes down last what it has counted.
SESSIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'
"""
COUNTED = "SELECT deadlocks, xact_rollback FROM pg_stat_database WHERE datname = $1"


@dataclass(frozen=True)
class Counted:
    """Since the database was made."""

    deadlocks: int
    rollbacks: int


async def counted(services: Services, database_url: str) -> Counted:
    """Read when all sessions of the database have ended, by a session of another one."""
    name = urlsplit(database_url).path[1:]
    connection = await asyncpg.connect(services.database_url)
    try:
        async with asyncio.timeout(ENDED_SECONDS_MAX):
            sessions = 1
            while sessions:
                sessions = await connection.fetchval(SESSIONS, name)
                await asyncio.sleep(POLL_SECONDS)
        row = await connection.fetchrow(COUNTED, name)
    finally:
        await connection.close()
    assert row is not None
    return Counted(*row.values())
