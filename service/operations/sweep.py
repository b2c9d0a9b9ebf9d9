"""The sweep, which tries parked records again in case no commit has noticed that they can be
applied.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import structlog

from ..apply.applier import Applier, QueueEntries
from ..core.events import WaitQueue
from ..core.ledger import AccountKey, FineKey, LineKey, SourceKey
from ..core.shares import SumQueue
from ..core.words import Wait
from ..database.references import QueueEntry
from ..database.session import Connection, Pool, statements
from ..runtime.problems import describe
from ..runtime.waiting import Postponed, unless_set, wait_any

log = structlog.get_logger()

SQL = statements("upkeep")
PAGE_QUEUES = 500
COMMIT_RECORDS_MAX = 500
# A queue that fails is tried again after half a minute, later every ten minutes.
FAILED_FIRST_MS = 30_000
FAILED_MAX_MS = 600_000


class RetryableQueue(NamedTuple):
    """A queue of parked records, the entries of it that have to be read, and how many of its
    records may be applicable now.
    """

    key: WaitQueue
    entries: QueueEntries
    records: int


class Scan(NamedTuple):
    """An SQL statement that reads wait queues of one kind page by page in key order, and the key
    with which the first page begins.

    The first columns of the statement's rows are the key of a queue; a page begins behind the last
    key of the page before it.
    """

    statement: str
    begin: tuple[str | int, ...]
    queue_of: Callable[[asyncpg.Record], RetryableQueue]


def _of_fine(row: asyncpg.Record) -> RetryableQueue:
    """The queue of a fine. Payments of it that name a line, too, are read by their keys."""
    institution_id, key = row["institution_id"], FineKey(row["institution_id"], row["fine_id"])
    columns = (row["sources"] or (), row["ids"] or (), row["bursar_transaction_ids"] or ())
    entries = (
        QueueEntry(
            key,
            SourceKey(institution_id, source, id_),
            LineKey(institution_id, bursar_transaction_id),
        )
        for source, id_, bursar_transaction_id in zip(*columns, strict=True)
    )
    return RetryableQueue(key, (QueueEntry(key), *entries), row["records"])


def _of_payment(row: asyncpg.Record) -> RetryableQueue:
    key = SourceKey(row["institution_id"], row["source"], row["original"])
    return RetryableQueue(key, (QueueEntry(key),), row["records"])


def _of_sum(row: asyncpg.Record) -> RetryableQueue:
    """A sum without a line, in the queue of its account."""
    institution_id = row["institution_id"]
    queue = SumQueue(AccountKey(institution_id, row["patron_id"], row["currency"]))
    payment = SourceKey(institution_id, row["source"], row["payment_id"])
    return RetryableQueue(queue, (QueueEntry(queue, payment),), 1)


SCANS = (
    Scan("fine_queues_to_retry", ("", ""), _of_fine),
    Scan("payment_queues_to_retry", ("", "", ""), _of_payment),
    Scan("sums_to_retry", (0,), _of_sum),
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many parked records wait for the same kind of thing, and the age of the oldest in
    seconds.
    """

    records: int
    oldest_seconds: int


class Sweep:
    """Tries parked records again, by the same write path that new records use.

    The queues of parked records are read in key order, page by page. The sweep notes that it has
    passed a page before it tries the queues of that page, so that a page that fails does not keep
    later queues from being tried. After each failure of a queue the sweep waits longer before it
    tries this queue again; only this process remembers the failures.
    """

    def __init__(
        self,
        pool: Pool,
        applier: Applier,
        interval_seconds: int = 5,
        failed: Postponed[WaitQueue] | None = None,
    ) -> None:
        self._pool = pool
        self._applier = applier
        self._interval_seconds = interval_seconds
        self._failed = failed or Postponed(FAILED_FIRST_MS, FAILED_MAX_MS)
        self._scan = 0
        self._after = SCANS[0].begin

    async def run(self, stop: asyncio.Event) -> None:
        """Tries the queues of parked records once per interval until `stop` is set; if any record
        has left its queue, tries them again at once.
        """
        while not stop.is_set():
            # A stop rolls back what the sweep is doing: those records stay parked.
            if not await unless_set(self.run_once(), stop):
                await wait_any((stop,), self._interval_seconds * 1_000)

    async def run_once(self) -> int:
        """Tries all queues behind the last page that was tried, except for those that failed
        lately; returns how many records have left their queues.
        """
        moved = 0
        while True:
            for queues in _commits(await self._next_page()):
                outcomes = await self._retry(queues)
                moved += sum(n for name, n in outcomes.items() if name.startswith("unparked:"))
            if (self._scan, self._after) == (0, SCANS[0].begin):
                return moved

    async def _next_page(self) -> list[RetryableQueue]:
        """The next queues, without those that have failed lately. The mark moves on."""
        scan = SCANS[self._scan]
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL[scan.statement], *self._after, PAGE_QUEUES)
        if len(rows) == PAGE_QUEUES:
            self._after = tuple(rows[-1].values())[: len(scan.begin)]
        else:
            self._scan = (self._scan + 1) % len(SCANS)
            self._after = SCANS[self._scan].begin
        queues = map(scan.queue_of, rows)
        return [queue for queue in queues if not self._failed.is_waiting(queue.key)]

    async def _retry(self, queues: Sequence[RetryableQueue]) -> Mapping[str, int]:
        """Tries a few queues in one commit; those that fail are postponed."""
        failures: dict[WaitQueue, Exception] = {}

        def failed(entries: QueueEntries, error: Exception) -> None:
            failures[entries[0].queue] = error

        outcomes = await self._applier.apply_queues([queue.entries for queue in queues], failed)
        for key in {queue.key for queue in queues}:
            if key in failures:
                wait_ms = self._failed.failed(key)
                problem = describe(failures[key])
                log.error("sweep_failed", problem=problem, retry_in_ms=wait_ms)
            else:
                self._failed.succeeded(key)
        return outcomes


def _commits(page: Sequence[RetryableQueue]) -> Iterator[list[RetryableQueue]]:
    """The queues of each commit; a long one is alone."""
    queues: list[RetryableQueue] = []
    records = 0
    for queue in page:
        if queues and records + queue.records > COMMIT_RECORDS_MAX:
            yield queues
            queues, records = [], 0
        queues.append(queue)
        records += queue.records
    if queues:
        yield queues


async def parked_by_wait(connection: Connection) -> Mapping[Wait, Waiting]:
    """Returns, for each thing that a record can wait for, how many records are parked for it and
    the age of the oldest.
    """
    rows = await connection.fetch(SQL["parked_by_wait"])
    return {Wait(row["wait"]): Waiting(row["records"], row["oldest_seconds"]) for row in rows}
