"""The sweep: parked records whose wait is over although nothing came to end it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from service.apply import Applier
from service.core.ledger import FineKey, LineKey, SourceKey
from service.core.words import Wait
from service.database.pool import Connection, Pool
from service.database.references import Queue
from service.database.statements import statements
from service.waiting import unless_set

PAGE_RECORDS = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait for one thing, and the oldest one's age in seconds."""

    records: int
    oldest_seconds: int


class Sweep:
    """Tries lanes again through the same apply path as everything else."""

    def __init__(self, pool: Pool, applier: Applier, interval_seconds: int = 5) -> None:
        self._pool = pool
        self._applier = applier
        self._interval_seconds = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Page after page while something moves, then once per interval."""
        while not stop.is_set():
            # Rolled back, what the sweep has in hand stays parked until the next one.
            if await unless_set(self.run_once(), stop):
                continue
            try:
                await asyncio.wait_for(stop.wait(), timeout=self._interval_seconds)
            except TimeoutError:
                continue

    async def run_once(self) -> int:
        """One page of lanes; the number of records that left them."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(statements("upkeep")["lanes_to_settle"], PAGE_RECORDS)
        if not rows:
            return 0
        queues = list(dict.fromkeys(map(_queue, rows)))
        outcomes = await self._applier.apply_queues(queues)
        return sum(count for name, count in outcomes.items() if name.startswith("unparked:"))


def _queue(row: asyncpg.Record) -> Queue:
    institution_id, source = row["institution_id"], row["source"]
    if row["wait"] == Wait.UNKNOWN_ORIGINAL:
        return Queue(SourceKey(institution_id, source, row["original"]))
    lane, line = FineKey(institution_id, row["fine_id"]), row["bursar_transaction_id"]
    if row["wait"] != Wait.UNKNOWN_FINE or line is None:
        return Queue(lane)
    return Queue(lane, SourceKey(institution_id, source, row["id"]), LineKey(institution_id, line))


async def parked_by_wait(connection: Connection) -> Mapping[Wait, Waiting]:
    """What waits, for the metrics and the operators."""
    rows = await connection.fetch(statements("upkeep")["parked_by_wait"])
    return {Wait(row["wait"]): Waiting(row["records"], row["oldest_seconds"]) for row in rows}
