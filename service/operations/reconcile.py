"""Whether the ledger agrees with itself: every sum is computed in two ways, in one snapshot."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import asyncpg

from ..database.session import Connection, Pool, statements
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.waiting import repeat
from .turn import Turn

log = get_log(__name__)

SQL = statements("reconcile")
TASK = "reconcile"
TURN_CHECK_MS = 60_000
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
    """A number that has two values where it is computed in two ways.

    `expected` and `actual` are minor units, or counts. The other members say whose number it is.
    """

    name: str
    institution_id: str
    patron_id: str | None
    currency: str
    fine_id: str | None
    profile: str | None
    batch_number: int | None
    sequence: int | None
    expected: int
    actual: int

    @property
    def is_money(self) -> bool:
        """Whether the values are amounts."""
        return not self.name.startswith(("sequence_", "transferred_fine_has", "batch_count"))


@dataclass(frozen=True, slots=True)
class ProfileTotal:
    """What the bursar collects for a profile, in minor units; `lines` is a number.

    `profile` is None for fines that have no live line although they are outstanding.
    """

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
        """How far `outstanding` is from what was exported and is neither paid nor written off."""
        return self.outstanding - (self.exported - self.paid - self.written_off)


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """The sums of an institution's accounts in one currency, in minor units."""

    institution_id: str
    currency: str
    accounts: int
    active: int
    transferred: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of a comparison. `is_cut` says that there are more differences than these."""

    profiles: tuple[ProfileTotal, ...]
    accounts: tuple[AccountTotal, ...]
    differences: tuple[Difference, ...]
    is_cut: bool

    @property
    def agrees(self) -> bool:
        """Whether the ledger agrees with itself."""
        return not self.differences and not any(total.difference for total in self.profiles)


async def reconcile(
    pool: Pool, institution_id: str | None = None, limit: int = DIFFERENCES_MAX
) -> Reconciled:
    """Compares all sums as of one instant; returns at most `limit` differences of each check."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await reconcile_in(connection, institution_id, limit)


async def reconcile_in(
    connection: Connection, institution_id: str | None = None, limit: int = DIFFERENCES_MAX
) -> Reconciled:
    """Compares in the transaction that is open, which has to read one snapshot."""
    await connection.execute(SQL["patience"], f"{STATEMENT_SECONDS_MAX}s")

    async def rows(name: str, *more: int) -> list[asyncpg.Record]:
        return await connection.fetch(
            SQL[name], institution_id, *more, timeout=STATEMENT_SECONDS_MAX
        )

    profiles = await rows("totals_of_profiles")
    accounts = await rows("totals_of_accounts")
    checks = [await rows(name, limit) for name in CHECKS]
    return Reconciled(
        profiles=tuple(ProfileTotal(*row.values()) for row in profiles),
        accounts=tuple(AccountTotal(*row.values()) for row in accounts),
        differences=tuple(
            Difference(
                name=row["name"],
                institution_id=row["institution_id"],
                patron_id=row.get("patron_id"),
                currency=row["currency"],
                fine_id=row.get("fine_id"),
                profile=row.get("profile"),
                batch_number=row.get("batch_number"),
                sequence=row.get("sequence"),
                expected=row["expected"],
                actual=row["found"],
            )
            for check in checks
            for row in check
        ),
        is_cut=any(len(check) == limit for check in checks),
    )


class Reconcile:
    """Compares from time to time: gauges, and an error in the log for each sort of difference.

    One instance compares for all of them, an interval after the last comparison ended. The gauges
    of every instance show the result that the database keeps of the last one.
    """

    def __init__(self, pool: Pool, metrics: Metrics, interval_seconds: int) -> None:
        self._turn = Turn(pool, TASK, interval_seconds)
        self._metrics = metrics
        self._check_ms = min(TURN_CHECK_MS, interval_seconds * 1_000)

    async def run(self, stop: asyncio.Event) -> None:
        """Compares whenever it is due, until `stop`. Raises what the database raises.

        `stop` ends the statement that is running, because the outbox must not wait for it.
        """
        await repeat(self.run_once, stop, self._check_ms)

    async def run_once(self) -> Reconciled | None:
        """Compares if it is due; returns None if it is not, or if another instance compares now."""
        done = await self._turn.taken(reconcile_in, lambda done: len(done.differences))
        differences, ended_at_seconds = await self._turn.last()
        self._metrics.reconcile_differences.set(differences)
        self._metrics.reconcile_ended.set(ended_at_seconds)
        if done is not None:
            for name, count in Counter(difference.name for difference in done.differences).items():
                log.error(Event.BOOKS_DIFFER, difference=name, count=count)
        return done
