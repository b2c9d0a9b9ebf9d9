"""An exchange of the database is noticed also while there is nothing to write."""

import asyncio

from ..database.session import Writes
from ..runtime.waiting import wait_any

INTERVAL_MS = 5_000


class Watch:
    """Commits every few seconds, so that every older copy counts less than the process remembers.

    Without it, a process that has written nothing since a backup could not tell the backup from the
    database, where it is loaded into the same tables of the same server.
    """

    def __init__(self, writer: Writes) -> None:
        self._writer = writer

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises OlderDatabase, CannotAsk, and what the database raises."""
        while not stop.is_set():
            await self.run_once()
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> None:
        """One commit that counts itself and does nothing else."""
        async with self._writer.transaction():
            pass
