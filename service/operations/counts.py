"""Adds to the service's metrics what operators' commands, which are other processes, have counted,
and stores when each source last sent a record.

Until they are stored, the counts of commands wait in a database table, and the sources that sent
something wait in memory. Storing counts and sources is not urgent, so a task of its own does it,
and no Kafka poll and no export batch waits for it.
"""

import asyncio
from collections import Counter

from ..apply.poll import Sender
from ..apply.tally import SQL as TALLY_SQL
from ..apply.tally import Key, Sources, TallyMetric, log_rejected_by_command
from ..database.session import Connection, Writes, statements
from ..database.tables import columns_of
from ..runtime.telemetry import Metrics
from ..runtime.waiting import repeat

SQL = statements("upkeep")
INTERVAL_MS = 5_000
SOURCES_EVERY = 12  # of these intervals
PAGE_ROWS = 1_000
KNOWN = [metric.value for metric in TallyMetric]


class Counts:
    """Each count of a command is added by only one instance of the service, so that the sum over
    all instances contains it once.
    """

    def __init__(self, writer: Writes, metrics: Metrics, sources: Sources) -> None:
        self._writer = writer
        self._metrics = metrics
        self._sources = sources

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`. Raises what the database raises."""
        await repeat(self.run_once, stop, INTERVAL_MS, self.write_sources, SOURCES_EVERY)

    async def run_once(self) -> int:
        """Adds the counts that commands have left in the database to the metrics and deletes them
        there; returns the number of rows.
        """
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
        """Stores which sources have sent records since the last call; raises what the database
        raises.
        """
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
        """Deletes and returns a page of counts; makes no commit if there is none."""
        async with self._writer.pool.acquire() as connection:
            if not await connection.fetchval(TALLY_SQL["tallies_wait"], KNOWN):
                return []
        async with self._writer.transaction() as connection:
            rows = await connection.fetch(TALLY_SQL["take_tallies"], KNOWN, PAGE_ROWS)
        return [(TallyMetric(row["metric"]), tuple(row["labels"]), row["amount"]) for row in rows]


async def put_senders(connection: Connection, senders: list[Sender]) -> None:
    """Stores the current time as the time at which these sources have last sent a record."""
    await connection.execute(SQL["put_senders"], *columns_of(senders))
