"""Payments for people: one by its identity, or page by page, with what became of each.

Amounts are minor units of the payment's currency; times aware UTC.
"""

from datetime import datetime
from enum import StrEnum

import asyncpg

from ..database.session import Connection, statements

SQL = statements("reports")


class Outcome(StrEnum):
    """What became of a payment."""

    APPLIED = "applied"
    PARTLY = "partly"  # what fitted settled the fine, the rest became a credit
    NOTED = "noted"
    PARKED = "parked"
    REJECTED = "rejected"


def outcome_of(row: asyncpg.Record) -> Outcome:
    if row["state"] == "applied" and row["excess"]:
        return Outcome.PARTLY
    return Outcome(row["state"])


async def payment(
    connection: Connection, institution_id: str, source: str, payment_id: str
) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL["payment"], institution_id, source, payment_id)


async def payments_since(
    connection: Connection,
    since: datetime,
    institution_id: str | None = None,
    source: str | None = None,
    limit: int = 100,
) -> list[asyncpg.Record]:
    """The first payments whose `paid_at` is not before `since`, in its order."""
    return await connection.fetch(SQL["payments_since"], institution_id, source, since, limit)
