"""The purge: removes data whose retention, in days, has ended, page by page, each page in a commit
of its own.

Nothing of the ledger is removed, and nothing that is needed to recognise repeats and conflicts, for
reports or for the restore check: a row keeps its identity, and loses the bytes of a record or the
words of a person. Records that wait for a person, or are still to be sent, are not removed, however
old they are.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ..apply.tally import Tally, TallyInDatabase, TallyInMetrics, TallyMetric, TallySink
from ..database.session import Connection, Pool, Writes, statements
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import repeat
from ..settings.retention import FOR_EVER, RetentionLimits
from .originals import remove_originals
from .parked_errors import count_decided, remove_decided
from .turn import Turn

log = get_log(__name__)

SQL = statements("retention")
TASK = "purge"
TURN_CHECK_MS = 60_000
COUNTED_MAX = 100_000
ORIGINALS_MAX = 100  # at most 64 KiB each
PAUSE_MS_MIN = 50

# Takes the retention in days and the largest number of rows, and returns a number of rows.
Page = Callable[[Connection, int, int], Awaitable[int]]


def _statement(name: str) -> Page:
    async def page(connection: Connection, days: int, rows_max: int) -> int:
        return int(await connection.fetchval(SQL[name], days, rows_max))

    return page


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of data that the purge removes.

    `name` is the name of the kind in metrics and commands, and `words` describes the data. `count`
    returns how many rows a purge would remove, and `remove` removes one page of them.
    """

    name: str
    words: str
    days: Callable[[RetentionLimits], int]
    count: Page
    remove: Page
    rows_max: int = COUNTED_MAX


KINDS = (
    Kind(
        "rejected",
        "bytes of rejected records",
        lambda limits: limits.rejected_retention_days,
        _statement("count_originals"),
        remove_originals("old_originals"),
        ORIGINALS_MAX,
    ),
    Kind(
        "import",
        "bytes of rejected lines of files",
        lambda limits: limits.import_retention_days,
        _statement("count_originals_of_imports"),
        remove_originals("old_originals_of_imports"),
        ORIGINALS_MAX,
    ),
    Kind(
        "parked_error",
        "internal errors whose record was decided meanwhile",
        lambda limits: limits.parked_error_retention_days,
        count_decided,
        remove_decided,
    ),
    Kind(
        "quarantine",
        "notes on releases from quarantine",
        lambda limits: limits.quarantine_retention_days,
        _statement("count_releases"),
        _statement("remove_releases"),
    ),
    Kind(
        "batch",
        "XML of batches",
        lambda limits: limits.batch_retention_days,
        _statement("count_documents"),
        _statement("remove_documents"),
    ),
    Kind(
        "run",
        "runs that have ended",
        lambda limits: limits.run_retention_days,
        _statement("count_runs"),
        _statement("remove_runs"),
    ),
    Kind(
        "operator_action",
        "reasons and names of operators",
        lambda limits: limits.operator_action_retention_days,
        _statement("count_operator_texts"),
        _statement("remove_operator_texts"),
    ),
)


async def purge(
    writer: Writes, limits: RetentionLimits, counting: TallySink | None = None
) -> Mapping[str, int]:
    """Removes the data whose retention has ended; returns the number of removed rows for each kind.

    A kind that is configured to be kept for ever is missing in the result. Between two pages the
    purge pauses for as long as the last page took, so that it uses the database for at most half of
    the time. Raises OlderDatabase and what the database raises; pages that were removed before the
    error stay removed.
    """
    sink = counting or TallyInDatabase()
    return {
        kind.name: await _purge_kind(writer, kind, limits, sink)
        for kind in KINDS
        if kind.days(limits) != FOR_EVER
    }


async def _purge_kind(writer: Writes, kind: Kind, limits: RetentionLimits, sink: TallySink) -> int:
    rows_max = min(limits.purge_page_rows_max, kind.rows_max)
    total = 0
    while True:
        started_ns = time.monotonic_ns()
        removed = await _purge_page(writer, kind, kind.days(limits), rows_max, sink)
        total += removed
        if removed < rows_max:
            break
        page_ms = (time.monotonic_ns() - started_ns) // 1_000_000
        await asyncio.sleep(max(page_ms, PAUSE_MS_MIN) / 1_000)
    if total:
        log.info(Event.PURGED, kind=kind.name, records=total, days=kind.days(limits))
    return total


async def _purge_page(writer: Writes, kind: Kind, days: int, rows_max: int, sink: TallySink) -> int:
    tally = Tally()
    async with writer.transaction() as connection:
        await Turn.keep(connection, TASK)
        await connection.execute(SQL["by_index"])
        removed = await kind.remove(connection, days, rows_max)
        if removed:
            tally.add(TallyMetric.PURGED, (kind.name,), removed)
        await sink.keep(connection, tally)
    sink.committed(tally)
    return removed


async def count_due(connection: Connection, limits: RetentionLimits) -> Mapping[str, int]:
    """Returns how many rows of each kind a purge would remove now, counted up to COUNTED_MAX.

    A kind that is configured to be kept for ever is missing in the result.
    """
    async with connection.transaction():
        await connection.execute(SQL["by_index"])
        return {
            kind.name: await kind.count(connection, kind.days(limits), COUNTED_MAX)
            for kind in KINDS
            if kind.days(limits) != FOR_EVER
        }


async def oldest_kept(connection: Connection) -> Mapping[str, int]:
    """Returns, for each kind, the age in seconds of the oldest data that were not removed; 0 if
    there are none.
    """
    rows = await connection.fetch(SQL["oldest_kept"])
    return {row["kind"]: row["age_seconds"] for row in rows}


class Purge:
    """Lets one instance of the service purge for all instances from time to time, and sets the
    metrics of every instance.
    """

    def __init__(self, writer: Writes, metrics: Metrics, limits: RetentionLimits) -> None:
        self._writer = writer
        self._metrics = metrics
        self._limits = limits
        self._counting = TallyInMetrics(metrics)
        self._turn = Turn(writer.pool, TASK, limits.purge_interval_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Purges whenever the interval has passed, until `stop` is set. Raises what the database
        raises.

        When `stop` is set, the page that is being removed is rolled back; the next purge of any
        instance removes it.
        """
        await repeat(self.run_once, stop, TURN_CHECK_MS)

    async def run_once(self) -> int | None:
        """Purges if the interval has passed, and returns the number of removed rows; None if it has
        not, or if another instance is purging.
        """
        removed = await self._turn.taken_in_steps(self._purge)
        await self._set_gauges(self._writer.pool)
        return removed

    async def _purge(self) -> int:
        return sum((await purge(self._writer, self._limits, self._counting)).values())

    async def _set_gauges(self, pool: Pool) -> None:
        async with pool.acquire() as connection:
            ages = await oldest_kept(connection)
        for kind, age_seconds in ages.items():
            self._metrics.kept_age.labels(kind).set(age_seconds)
