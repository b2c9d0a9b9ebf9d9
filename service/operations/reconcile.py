"""Whether the books agree with themselves: every sum two ways, in one snapshot."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import asyncpg

from ..database.session import Connection, Pool, statements
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import unless_set, wait_any
from .turn import Turn

log = get_log(__name__)

SQL = statements("reconcile")
TASK = "reconcile"
LOOK_MS = 60_000
STATEMENT_SECONDS_MAX = 1_800
DIFFERENCES_MAX = 1_000

CHECKS = (
    "balances_and_transactions",
    "balances_and_fines",
    "running_balances",
    "fines_and_transactions",
    "lines_and_payments",
    "batches_and_lines",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two ways to one number that differ: amounts in minor units, or counts."""

    name: str
    institution_id: str
    patron_id: str | None
    currency: str
    fine_id: str | None
    profile: str | None
    batch_number: int | None
    sequence: int | None
    expected: int
    found: int

    @property
    def is_money(self) -> bool:
        counts = ("sequence_", "transferred_fine_has", "batch_count")
        return not self.name.startswith(counts)


@dataclass(frozen=True, slots=True)
class ProfileTotal:
    """What the bursar collects; `profile` None: fines that lack their live line."""

    institution_id: str
    profile: str | None
    currency: str
    lines: int
    exported: int
    paid: int
    written_off: int
    outstanding: int

    @property
    def difference(self) -> int:
        return self.outstanding - (self.exported - self.paid - self.written_off)


@dataclass(frozen=True, slots=True)
class AccountTotal:
    institution_id: str
    currency: str
    accounts: int
    active: int
    transferred: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`is_cut`: a check found more differences than are told."""

    profiles: tuple[ProfileTotal, ...]
    accounts: tuple[AccountTotal, ...]
    differences: tuple[Difference, ...]
    is_cut: bool

    @property
    def agrees(self) -> bool:
        return not self.differences and all(one.difference == 0 for one in self.profiles)


async def reconcile(
    pool: Pool, institution_id: str | None = None, limit: int = DIFFERENCES_MAX
) -> Reconciled:
    """All sums as of one instant, whatever is written meanwhile; at most `limit` of each check."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await reconcile_in(connection, institution_id, limit)


async def reconcile_in(
    connection: Connection, institution_id: str | None = None, limit: int = DIFFERENCES_MAX
) -> Reconciled:
    """The same in the transaction that is open, which has to read one snapshot."""
    await connection.execute(SQL["patience"], f"{STATEMENT_SECONDS_MAX}s")

    async def rows(name: str, *more: int) -> list[asyncpg.Record]:
        return await connection.fetch(
            SQL[name], institution_id, *more, timeout=STATEMENT_SECONDS_MAX
        )

    profiles = await rows("totals_of_profiles")
    accounts = await rows("totals_of_accounts")
    found = [await rows(name, limit) for name in CHECKS]
    return Reconciled(
        profiles=tuple(ProfileTotal(*row.values()) for row in profiles),
        accounts=tuple(AccountTotal(*row.values()) for row in accounts),
        differences=tuple(_difference(row) for check in found for row in check),
        is_cut=any(len(check) == limit for check in found),
    )


def _difference(row: asyncpg.Record) -> Difference:
    return Difference(
        name=row["name"],
        institution_id=row["institution_id"],
        patron_id=row.get("patron_id"),
        currency=row["currency"],
        fine_id=row.get("fine_id"),
        profile=row.get("profile"),
        batch_number=row.get("batch_number"),
        sequence=row.get("sequence"),
        expected=row["expected"],
        found=row["found"],
    )


class Reconcile:
    """The same as a loop of the service: a gauge, and an error in the log for each sort found.

    One instance does it for all of them, an interval after the last one ended, whoever starts
    meanwhile. The gauges show what the database keeps of the last one, on every instance.
    """

    def __init__(self, pool: Pool, metrics: Metrics, interval_seconds: int) -> None:
        self._turn = Turn(pool, TASK, interval_seconds)
        self._metrics = metrics
        self._look_ms = min(LOOK_MS, interval_seconds * 1_000)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks whether it is due until `stop`, which ends the statement that is running."""
        while not stop.is_set():
            # What was compared so far is given up: the outbox must not wait for it.
            await unless_set(self.run_once(), stop)
            await wait_any((stop,), self._look_ms)

    async def run_once(self) -> Reconciled | None:
        """None: it is not due, or another instance is at it. Raises what the database raises."""
        done = await self._turn.taken(reconcile_in, lambda done: len(done.differences))
        differences, ended_at_seconds = await self._turn.last()
        self._metrics.reconcile_differences.set(differences)
        self._metrics.reconcile_ended.set(ended_at_seconds)
        if done is not None:
            for name, count in Counter(one.name for one in done.differences).items():
                log.error(Event.BOOKS_DIFFER, difference=name, count=count)
        return done
