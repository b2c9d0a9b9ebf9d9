"""What people ask of the ledger: a patron's balances, and what became of a batch.

Amounts are minor units of the row's currency; times aware UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..database.session import Connection, statements
from .look_up import batches_with

SQL = statements("reports")


class AsOf(StrEnum):
    """Which time an instant is meant in: when this service learnt it, or when it happened."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class Balance:
    """One account; sums by effective time have no place in its sequence."""

    currency: str
    active: int
    transferred: int
    total: int
    epoch: int | None
    sequence: int | None


async def balances(
    connection: Connection,
    institution_id: str,
    patron_id: str,
    currency: str | None = None,
    at: datetime | None = None,
    as_of: AsOf = AsOf.RECORDED,
) -> list[Balance]:
    """Now, or as of an instant; none for a patron without accounts."""
    own = (institution_id, patron_id, currency)
    if at is None:
        rows = await connection.fetch(SQL["balances_now"], *own)
    else:
        rows = await connection.fetch(SQL[f"balances_{as_of}"], *own, at)
    return [Balance(*row.values()) for row in rows]


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """What is looked for; None: any. A line or a fine is looked for with its institution."""

    institution_id: str | None = None
    profile: str | None = None
    state: BatchState | None = None
    line: str | None = None
    fine_id: str | None = None
    limit: int = 100


async def batches(
    connection: Connection, wanted: BatchFilter | None = None
) -> list[asyncpg.Record]:
    """Rows of the view report_batch, newest first."""
    wanted = wanted or BatchFilter()
    own = (wanted.institution_id, wanted.profile, wanted.state)
    if wanted.line is None and wanted.fine_id is None:
        return await connection.fetch(SQL["batches"], *own, None, wanted.limit)
    assert wanted.institution_id is not None
    places = await batches_with(connection, wanted.institution_id, wanted.line, wanted.fine_id)
    found = []
    for profile, number in reversed(places):
        if wanted.profile in (None, profile):
            one = (wanted.institution_id, profile, wanted.state, number, 1)
            found += await connection.fetch(SQL["batches"], *one)
    return found[: wanted.limit]


async def owners(connection: Connection, profile: str, number: int) -> list[str]:
    """Institutions with such a batch: more than one where a profile's code moved between them."""
    rows = await connection.fetch(SQL["owners_of_batch"], profile, number)
    return [row["institution_id"] for row in rows]


async def batch(
    connection: Connection, key: BatchKey
) -> tuple[asyncpg.Record, list[asyncpg.Record], list[asyncpg.Record]] | None:
    """The batch, its lines (report_line) and the bursar's answers; None: no such batch."""
    own = (key.institution_id, key.profile)
    found = await connection.fetch(SQL["batches"], *own, None, key.batch_number, 1)
    if not found:
        return None
    lines = await connection.fetch(SQL["lines_of_batch"], *key)
    return found[0], lines, await connection.fetch(SQL["responses_of_batch"], *key)


def became(line: asyncpg.Record) -> str:
    """A line of report_line in one word."""
    if line["state"] == "refused":
        return "refused"
    if line["fine_status"] == "Closed":
        return "closed"
    if line["outstanding"] == 0:
        return "settled"
    return "open" if line["outstanding"] == line["amount"] else "partly settled"


def totals(lines: Iterable[asyncpg.Record]) -> dict[str, int]:
    """How many lines became what."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[became(line)] = counts.get(became(line), 0) + 1
    return counts
