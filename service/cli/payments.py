"""`bursar-bridge payments`: what the bursar has reported, and what became of it."""

import asyncio
from datetime import UTC, datetime

import asyncpg

from ..messages import values
from ..operations import payments
from ..operations.payments import Outcome, outcome_of
from ..settings import Settings
from .errors import complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, sentence, word
from .shown import database, misuse, money
from .tables import instant, show

PAYMENTS = Listing(
    "no payments",
    (
        identifier("payment_id"),
        word("outcome"),
        number("amount"),
        word("currency"),
        sentence("in_words"),
        word("paid_at"),
        identifier("source"),
        identifier("institution_id"),
        word("kind", wide=True),
        identifier("fine_id", wide=True),
        identifier("bursar_transaction_id", wide=True),
        number("applied", wide=True),
        number("excess", wide=True),
        identifier("credit_id", wide=True),
        identifier("reverses", wide=True),
        identifier("reversed_by", wide=True),
        word("reason", wide=True),
        word("wait", wide=True),
    ),
)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def list_payments(
    since: str | None,
    institution: str | None,
    source: str | None,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    moment = LONG_AGO
    if since is not None:
        if (read := values.instant(since)) is None:
            raise misuse(f"--since: {values.INSTANT_RULE}")
        moment = read
    settings = settings_or_exit()
    with operator_errors():
        rows = asyncio.run(_page(settings, moment, institution, source, limit))
    show(PAYMENTS, [payment_row(row) for row in rows], as_json, wide=wide)
    if len(rows) == limit:
        last = instant(rows[-1]["paid_at"])
        complain(f"more may follow: go on with --since {last}, or with a larger --limit")


async def _page(
    settings: Settings, since: datetime, institution: str | None, source: str | None, limit: int
) -> list[asyncpg.Record]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await payments.payments_since(connection, since, institution, source, limit)


def payment_row(row: asyncpg.Record) -> Row:
    return {
        "institution_id": row["institution_id"],
        "source": row["source"],
        "payment_id": row["payment_id"],
        "kind": row["kind"],
        "outcome": outcome_of(row).value,
        "in_words": in_words(row),
        "amount": _money(row, "amount"),
        "currency": row["currency"],
        "applied": _money(row, "applied"),
        "excess": _money(row, "excess"),
        "fine_id": row["fine_id"],
        "bursar_transaction_id": row["bursar_transaction_id"],
        "credit_id": row["credit_id"],
        "reverses": row["reverses"],
        "reversed_by": row["reversed_by"],
        "reason": row["reason"],
        "wait": row["wait"],
        "paid_at": row["paid_at"],
    }


def in_words(row: asyncpg.Record) -> str:
    """What became of the payment, with its sums."""
    words = _what(row)
    return f"{words}; reversed by {row['reversed_by']}" if row["reversed_by"] else words


def _what(row: asyncpg.Record) -> str:
    fine_id = row["fine_id"]
    applied, excess = _money(row, "applied"), _money(row, "excess")
    match outcome_of(row):
        case Outcome.REJECTED:
            return f"rejected: {row['reason']}"
        case Outcome.PARKED:
            return f"waits: {row['wait']}"
        case Outcome.NOTED:
            return f"noted on {fine_id}, no balance changed"
        case Outcome.PARTLY:
            rest = f"{excess} became the credit {row['credit_id']}"
            return f"{applied} settled {fine_id}, {rest}" if row["applied"] else rest
        case Outcome.APPLIED:
            if row["reverses"] is not None:
                return f"took back {row['reverses']}: {applied} of {fine_id} is outstanding again"
            return f"{applied} settled {fine_id}"


def _money(row: asyncpg.Record, name: str) -> str | None:
    currency = row["currency"]
    return None if currency is None else money(row[name], currency)
