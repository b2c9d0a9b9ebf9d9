"""The sweep: parked records whose wait is over although nothing came to end it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import structlog

from ..apply.applier import Applier, QueueEntries
from ..core.ledger import FineKey, LineKey, SourceKey
from ..core.words import Wait
from ..database.references import QueueEntry
from ..database.session import Connection, Pool, statements
from ..runtime.problems import describe
from ..runtime.waiting import Postponed, unless_set

log = structlog.get_logger()

SQL = statements("upkeep")
PAGE_QUEUES = 500
COMMIT_RECORDS_MAX = 500
# A queue that fails is tried again after half a minute, later every ten minutes.
FAILED_FIRST_MS = 30_000
FAILED_MAX_MS = 600_000

Lane = FineKey | SourceKey


class Waits(NamedTuple):
    """What is to be tried of one queue, and how many of its records can go on."""

    items: QueueEntries
    records: int

    @property
    def lane(self) -> Lane:
        return self.items[0].queue


class Scan(NamedTuple):
    """A statement that pages through queues of one kind in key order, and where it begins."""

    statement: str
    begin: tuple[str, ...]
    items_of: Callable[[asyncpg.Record], QueueEntries]


def _of_fine(row: asyncpg.Record) -> QueueEntries:
    """The queue of a fine; payments of it that name a line, too, are read by their keys."""
    institution_id, lane = row["institution_id"], FineKey(row["institution_id"], row["fine_id"])
    columns = zip(row["sources"] or (), row["ids"] or (), row["lines"] or (), strict=True)
    return (
        QueueEntry(lane),
        *(
            QueueEntry(lane, SourceKey(institution_id, source, id_), LineKey(institution_id, line))
            for source, id_, line in columns
        ),
    )


def _of_payment(row: asyncpg.Record) -> QueueEntries:
    return (QueueEntry(SourceKey(row["institution_id"], row["source"], row["original"])),)


SCANS = (
    Scan("fine_queues_to_retry", ("", ""), _of_fine),
    Scan("payment_queues_to_retry", ("", "", ""), _of_payment),
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait for one thing, and the oldest one's age in seconds."""

    records: int
    oldest_seconds: int


class Sweep:
    """Tries wait queues again, through the same apply path as everything else.

    Queues are taken in key order, page by page, and a page is left behind before it is tried:
    whatever becomes of it, the queues after it have their turn. A queue that fails waits longer and
    longer, of this process's memory.
    """

    def __init__(
        self,
        pool: Pool,
        applier: Applier,
        interval_seconds: int = 5,
        failed: Postponed[Lane] | None = None,
    ) -> None:
        self._pool = pool
        self._applier = applier
        self._interval_seconds = interval_seconds
        self._failed = failed or Postponed(FAILED_FIRST_MS, FAILED_MAX_MS)
        self._scan = 0
        self._after = SCANS[0].begin

    async def run(self, stop: asyncio.Event) -> None:
        """All queues again while something moves, then once per interval."""
        while not stop.is_set():
            # Rolled back, what the sweep has in hand stays parked until the next one.
            if await unless_set(self.run_once(), stop):
                continue
            try:
                await asyncio.wait_for(stop.wait(), timeout=self._interval_seconds)
            except TimeoutError:
                continue

    async def run_once(self) -> int:
        """All queues behind the last page that was taken; the number of records that left them."""
        moved = 0
        while True:
            for queues in _commits(await self._next_page()):
                outcomes = await self._tried(queues)
                moved += sum(n for name, n in outcomes.items() if name.startswith("unparked:"))
            if (self._scan, self._after) == (0, SCANS[0].begin):
                return moved

    async def _next_page(self) -> list[Waits]:
        """Queues that can go on, but for those that failed not long ago; the mark moves on."""
        scan = SCANS[self._scan]
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL[scan.statement], *self._after, PAGE_QUEUES)
        if len(rows) == PAGE_QUEUES:
            self._after = tuple(rows[-1].values())[: len(scan.begin)]
        else:
            self._scan = (self._scan + 1) % len(SCANS)
            self._after = SCANS[self._scan].begin
        queues = (Waits(scan.items_of(row), row["records"]) for row in rows)
        return [waits for waits in queues if not self._failed.is_waiting(waits.lane)]

    async def _tried(self, queues: Sequence[QueueEntries]) -> Mapping[str, int]:
        """A few queues in one commit; those that fail are put off."""
        failures: dict[Lane, Exception] = {}

        def failed(items: QueueEntries, error: Exception) -> None:
            failures[items[0].queue] = error

        outcomes = await self._applier.apply_queues(queues, failed)
        for lane in {items[0].queue for items in queues}:
            if lane in failures:
                wait_ms = self._failed.failed(lane)
                problem = describe(failures[lane])
                log.error("sweep_failed", problem=problem, retry_in_ms=wait_ms)
            else:
                self._failed.succeeded(lane)
        return outcomes


def _commits(page: Sequence[Waits]) -> Iterator[list[QueueEntries]]:
    """Queues that are tried together; a long one alone."""
    queues: list[QueueEntries] = []
    records = 0
    for waits in page:
        if queues and records + waits.records > COMMIT_RECORDS_MAX:
            yield queues
            queues, records = [], 0
        queues.append(waits.items)
        records += waits.records
    if queues:
        yield queues


async def parked_by_wait(connection: Connection) -> Mapping[Wait, Waiting]:
    """What waits, for the metrics and the operators."""
    rows = await connection.fetch(SQL["parked_by_wait"])
    return {Wait(row["wait"]): Waiting(row["records"], row["oldest_seconds"]) for row in rows}
