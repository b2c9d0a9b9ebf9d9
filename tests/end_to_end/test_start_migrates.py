"""A start that migrates: a session that ends in the middle does not end the process."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.support.process import Site, connected

SECONDS_MAX = 60
END_WAITING = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def test_a_database_lost_in_a_migration_is_waited_for(
    site: Site, empty_database_url: str
) -> None:
    site.database_url = empty_database_url
    await site.command("topics", "create", "--partitions", "1")
    blocker = await asyncpg.connect(empty_database_url)
    try:
        block = blocker.transaction()
        await block.start()
        # The migration creates this very name and so waits for whoever does the same.
        await blocker.execute("CREATE TABLE relay_lease (name text)")
        starting = asyncio.create_task(site.start())
        await end_waiting_session(empty_database_url)
        await block.rollback()
    finally:
        await blocker.close()
    await starting
    site.check_alive()
    events = [line["event"] for line in site.log()]
    assert events.index("database_awaited") < events.index("migrated") < events.index("started")
    await site.stop()


async def end_waiting_session(url: str) -> None:
    """Looks from a session of its own each time: a commit sees one list of sessions."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            async with connected(url) as connection:
                if await connection.fetch(END_WAITING):
                    return
