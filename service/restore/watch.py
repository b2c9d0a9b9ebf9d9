"""An exchange of the database is noticed also while there is nothing to write."""

import asyncio
import time

from service.restore.guard import Guard
from service.waiting import wait_any

INTERVAL_MS = 5_000
TOUCH_SECONDS = 24 * 60 * 60


class Watch:
    """Compares every few seconds what the process remembers with what the database counts."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._touched_ns = time.monotonic_ns()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises OlderDatabase, CannotAsk, and what the database raises."""
        while not stop.is_set():
            await self.run_once()
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> None:
        await self._guard.watch()
        if time.monotonic_ns() - self._touched_ns > TOUCH_SECONDS * 1_000_000_000:
            await self._guard.touch()
            self._touched_ns = time.monotonic_ns()
