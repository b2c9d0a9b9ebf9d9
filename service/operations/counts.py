"""What commands have counted becomes part of this service's metrics; who has sent is written down.

Both wait in memory or in a table, and neither is urgent: no poll and no batch waits for them.
"""

import asyncio
from collections import Counter

from ..apply.sources import Sender, Sources
from ..apply.tally import SQL as TALLY_SQL
from ..apply.tally import Key, TallyMetric, log_rejected_by_command
from ..database.session import Connection, Writes, statements
from ..runtime.telemetry import Metrics
from ..runtime.waiting import unless_set, wait_any

SQL = statements("upkeep")
INTERVAL_MS = 5_000
SOURCES_EVERY = 12  # of these intervals
PAGE_ROWS = 1_000
KNOWN = [metric.value for metric in TallyMetric]


class Counts:
    """One of the instances takes each row: so the sum over all instances has each of them once."""

    def __init__(self, writer: Writes, metrics: Metrics, sources: Sources) -> None:
        self._writer = writer
        self._metrics = metrics
        self._sources = sources

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what the database raises."""
        turn = 0
        while not stop.is_set():
            await unless_set(self.run_once(), stop)
            if turn % SOURCES_EVERY == 0:
                await unless_set(self.write_sources(), stop)
            turn += 1
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> int:
        """Takes over what commands have counted; the number of rows."""
        taken = 0
        while page := await self._take():
            taken += len(page)
            counts: Counter[Key] = Counter()
            for metric, labels, amount in page:
                counts[metric, labels] += amount
            for (metric, labels), amount in counts.items():
                self._metrics.add(metric.value, labels, amount)
            log_rejected_by_command(counts)
        return taken

    async def write_sources(self) -> None:
        senders = self._sources.take()
        if not senders:
            return
        try:
            async with self._writer.transaction() as connection:
                await put_senders(connection, senders)
        except BaseException:
            self._sources.put_back(senders)
            raise

    async def _take(self) -> list[tuple[TallyMetric, tuple[str, ...], int]]:
        """One page, deleted; a commit is made only where there is something."""
        async with self._writer.pool.acquire() as connection:
            if not await connection.fetchval(TALLY_SQL["tallies_wait"], KNOWN):
                return []
        async with self._writer.transaction() as connection:
            rows = await connection.fetch(TALLY_SQL["take_tallies"], KNOWN, PAGE_ROWS)
        return [(TallyMetric(row["metric"]), tuple(row["labels"]), row["amount"]) for row in rows]


async def put_senders(connection: Connection, senders: list[Sender]) -> None:
    columns = [list(column) for column in zip(*senders, strict=True)]
    await connection.execute(SQL["put_senders"], *columns)
