"""A connection beside the simulation: what it does happens at once and takes no simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import asyncpg

from service.database.session import Connection

R = TypeVar("R")

BACKEND_ENDS_MS_MAX = 10_000
ANSWER_SECONDS_MAX = 60


class Control:
    """A session with an event loop of its own, which runs while the simulated one stands still."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection: Connection = self._wait(asyncpg.connect(url))

    def close(self) -> None:
        """Ends the session."""
        self._wait(self._connection.close())
        self._loop.close()

    def execute(self, query: str, *arguments: object) -> None:
        """Runs a statement, or several without arguments."""
        self._wait(self._connection.execute(query, *arguments))

    def rows(self, query: str, *arguments: object) -> list[dict[str, object]]:
        """The rows of a query."""
        return [dict(row) for row in self._wait(self._connection.fetch(query, *arguments))]

    def value(self, query: str, *arguments: object) -> object:
        """The first value of a query."""
        value: object = self._wait(self._connection.fetchval(query, *arguments))
        return value

    def run(self, work: Callable[[Connection], Awaitable[R]]) -> R:
        """What `work` returns, which uses the session as it likes."""
        return self._wait(work(self._connection))

    def locked_out(self, pids: Collection[int]) -> set[int]:
        """Those of the sessions that wait for a lock."""
        query = (
            "SELECT k.pid FROM unnest($1::integer []) AS k (pid)"
            " WHERE pg_blocking_pids(k.pid) <> '{}'"
        )
        return {int(str(row["pid"])) for row in self.rows(query, list(pids))}

    def end_backend(self, pid: int) -> None:
        """Ends a session on the server; on return its locks are free."""
        self.value("SELECT pg_terminate_backend($1, $2)", pid, BACKEND_ENDS_MS_MAX)

    def _wait(self, work: Awaitable[R]) -> R:
        async def awaited() -> R:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await work

        # The loop that runs in this thread waits for us: it does not notice.
        simulated = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(awaited())
        finally:
            asyncio._set_running_loop(simulated)
