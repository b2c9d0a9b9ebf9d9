"""What waits, measured: outbox and parked records; an alarm when a record waits too long."""

import asyncio

from service.core.words import Wait
from service.database.pool import Pool
from service.database.statements import statements
from service.telemetry import Event, Metrics, get_log
from service.upkeep.sweep import parked_by_wait
from service.waiting import wait_any

log = get_log(__name__)

INTERVAL_MS = 10_000
HOUR_SECONDS = 3_600


class Measure:
    """Fills the gauges, on every instance. The relay itself alarms on the age of the outbox."""

    def __init__(self, pool: Pool, metrics: Metrics, parked_hours_max: int = 72) -> None:
        self._pool = pool
        self._metrics = metrics
        self._parked_seconds_max = parked_hours_max * HOUR_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.run_once()
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> int:
        """One measurement; the age of the oldest parked record in seconds."""
        async with self._pool.acquire() as connection:
            outbox = await connection.fetchrow(statements("outbox")["waiting"])
            parked = await parked_by_wait(connection)
        assert outbox is not None
        self._metrics.outbox_rows.set(outbox["rows_waiting"])
        self._metrics.outbox_age.set(outbox["oldest_age_seconds"])
        self._metrics.set_aside_rows.set(outbox["set_aside"])
        for wait in Wait:
            self._metrics.parked.labels(wait).set(parked[wait].records if wait in parked else 0)
        oldest = max((one.oldest_seconds for one in parked.values()), default=0)
        self._metrics.parked_age.set(oldest)
        if oldest >= self._parked_seconds_max:
            log.error(Event.PARKED_OLD, age_seconds=oldest)
        return oldest
