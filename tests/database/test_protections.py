"""Protections that show in rare moments alone: a stale read, and a server that forgets commits."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from service.database.session import create_pool
from tests.support.exports import patron, waiters
from tests.support.process import connected
from tests.support.write_path import WritePath, change, fine, write_path

HELD = "SELECT FROM account WHERE patron_id = 'P-1' FOR UPDATE"


async def test_a_fine_that_appears_while_its_change_waits_for_a_lock_is_locked_before_it_counts(
    path: WritePath, database_url: str
) -> None:
    """The change of F-2 has looked for its account before there was any."""
    await path.take(fine(fine_id="F-1", patron=patron("P-1")))
    async with (
        connected(database_url) as rival,
        write_path(database_url, partition=1) as other,
    ):
        holding = rival.transaction()
        await holding.start()
        await rival.execute(HELD)
        changes = (
            change(change_id="C-1", fine_id="F-1"),
            change(change_id="C-2", fine_id="F-2"),
        )
        taking = asyncio.create_task(path.take(*changes))
        await waiters(path, 1)
        await other.take(fine(fine_id="F-2", patron=patron("P-2")))
        await holding.rollback()
        report = await taking
    assert path.applier.retries == {"StaleRead": 1}
    assert report.outcomes == {"applied": 2}


@pytest.mark.parametrize(("of_server", "of_session"), [("off", "on"), ("local", "local")])
async def test_a_session_waits_until_its_commits_are_safe_whatever_the_server_does(
    database_url: str, of_server: str, of_session: str
) -> None:
    """What Kafka knows must not be lost in a crash of the server."""
    name = urlsplit(database_url).path.removeprefix("/")
    async with connected(database_url) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {of_server}')
    async with await create_pool(database_url) as pool:
        assert await pool.fetchval("SELECT current_setting('synchronous_commit')") == of_session
