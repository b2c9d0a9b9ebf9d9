"""Checks that the ledger agrees with itself: every sum is computed in two ways, in one snapshot of
the database.
"""

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
    """A number for which two ways to compute it give different values.

    `expected` and `actual` are minor units, or counts. The other fields say to which account, fine,
    profile or batch the number belongs.
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
        """Whether `expected` and `actual` are amounts of money and not counts."""
        return not self.name.startswith(("sequence_", "transferred_fine_has", "batch_count"))


@dataclass(frozen=True, slots=True)
class ProfileTotal:
    """The sums of the fines that a profile has handed over to the bursar, in minor units; `lines`
    is the number of export lines.

    `profile` is None for fines that owe something at the bursar although their latest export line
    was refused or is missing, which is an error.
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
        """By how much `outstanding` differs from the exported amount less what was paid and written
        off; 0 if the ledger is right.
        """
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
    """The result of a comparison. `is_cut` is true if a check found as many differences as the
    limit allows, so that there may be more.
    """

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
    """Compares all sums inside the caller's transaction, which must read one snapshot (REPEATABLE
    READ).
    """
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
                actual=row["actual"],
            )
            for check in checks
            for row in check
        ),
        is_cut=any(len(check) == limit for check in checks),
    )


class Reconcile:
    """Compares the sums at intervals, sets the metrics of the result, and logs an error for each
    kind of difference.

    One instance of the service compares for all instances, when the interval since the end of the
    last comparison has passed. The metrics of every instance show the result of the last
    comparison, which the database keeps.
    """

    def __init__(self, pool: Pool, metrics: Metrics, interval_seconds: int) -> None:
        self._turn = Turn(pool, TASK, interval_seconds)
        self._metrics = metrics
        self._check_ms = min(TURN_CHECK_MS, interval_seconds * 1_000)

    async def run(self, stop: asyncio.Event) -> None:
        """Compares whenever the interval has passed, until `stop` is set. Raises what the database
        raises.

        When `stop` is set, the running SQL statement is cancelled, because the process must still
        send the outbox before it ends.
        """
        await repeat(self.run_once, stop, self._check_ms)

    async def run_once(self) -> Reconciled | None:
        """Compares if the interval has passed; returns None if it has not, or if another instance
        is comparing.
        """
        done = await self._turn.taken(reconcile_in, lambda done: len(done.differences))
        differences, ended_at_seconds = await self._turn.last()
        self._metrics.reconcile_differences.set(differences)
        self._metrics.reconcile_ended.set(ended_at_seconds)
        if done is not None:
            for name, count in Counter(difference.name for difference in done.differences).items():
                log.error(Event.BOOKS_DIFFER, difference=name, count=count)
        return done
