"""What operators ask of the ledger: balances, batches, payments, and which fine an id means.

Amounts are minor units of the row's currency; times are aware and in UTC.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from ..core.ledger import BatchKey
from ..core.words import BatchState, ItemState, PaymentKind
from ..database.session import Connection, statements
from ..messages.values import bursar_id

SQL = statements("reports")


class AsOf(StrEnum):
    """Which time an instant means: when this service learnt of a change, or when it happened."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of an account. Sums by effective time have no epoch and no sequence."""

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
    """A patron's balances now, or at an instant; none for a patron without accounts."""
    key = (institution_id, patron_id, currency)
    if at is None:
        rows = await connection.fetch(SQL["balances_now"], *key)
    else:
        rows = await connection.fetch(SQL[f"balances_{as_of}"], *key, at)
    return [Balance(*row.values()) for row in rows]


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches a command is about; a field that is None allows any value. A line or a fine is
    named with its institution.
    """

    institution_id: str | None = None
    profile: str | None = None
    state: BatchState | None = None
    line: str | None = None
    fine_id: str | None = None
    limit: int = 100


async def batches(
    connection: Connection, selected: BatchFilter | None = None
) -> list[asyncpg.Record]:
    """Rows of the view report_batch, newest first."""
    selected = selected or BatchFilter()
    institution_id, state = selected.institution_id, selected.state
    if selected.line is None and selected.fine_id is None:
        key = (institution_id, selected.profile, state)
        return await connection.fetch(SQL["batches"], *key, None, selected.limit)
    assert institution_id is not None
    if selected.line is not None:
        places = await connection.fetch(SQL["line"], institution_id, bursar_id(selected.line))
    else:
        places = await connection.fetch(SQL["batches_of_fine"], institution_id, selected.fine_id)
    rows: list[asyncpg.Record] = []
    for place in reversed(places):
        profile, number = place["profile"], place["batch_number"]
        if selected.profile in (None, profile):
            key = (institution_id, profile, state)
            rows += await connection.fetch(SQL["batches"], *key, number, 1)
    return rows[: selected.limit]


async def owners(connection: Connection, profile: str, number: int) -> list[str]:
    """Institutions with such a batch: more than one if a profile's code moved between them."""
    rows = await connection.fetch(SQL["owners_of_batch"], profile, number)
    return [row["institution_id"] for row in rows]


async def batch(
    connection: Connection, key: BatchKey
) -> tuple[asyncpg.Record, list[asyncpg.Record], list[asyncpg.Record]] | None:
    """Returns the batch, its lines (view report_line) and the bursar's answers; None if there is no
    such batch.
    """
    place = (key.institution_id, key.profile, None, key.batch_number)
    row = await connection.fetchrow(SQL["batches"], *place, 1)
    if row is None:
        return None
    lines = await connection.fetch(SQL["lines_of_batch"], *key)
    return row, lines, await connection.fetch(SQL["responses_of_batch"], *key)


def became(line: asyncpg.Record) -> str:
    """What became of a row of the view report_line."""
    if line["state"] == "refused":
        return "refused"
    if line["fine_status"] == "Closed":
        return "closed"
    if line["outstanding"] == 0:
        return "settled"
    return "open" if line["outstanding"] == line["amount"] else "partly settled"


def totals(lines: Iterable[asyncpg.Record]) -> Mapping[str, int]:
    """How many rows of the view report_line became what."""
    return Counter(map(became, lines))


class PaymentOutcome(StrEnum):
    """What became of a payment."""

    APPLIED = "applied"
    PARTLY = "partly"  # a part paid the fine, the rest became a credit
    NOTED = "noted"
    PARKED = "parked"
    REJECTED = "rejected"


def payment_outcome(payment: asyncpg.Record) -> PaymentOutcome:
    """What became of a payment that `payment` or `payments_since` has returned."""
    if payment["state"] == "applied" and payment["excess"]:
        return PaymentOutcome.PARTLY
    return PaymentOutcome(payment["state"])


def amounts_reversed(payment: asyncpg.Record) -> tuple[int | None, int | None]:
    """How much of a payment or write-off was reversed, and how much of it can be, in minor units.

    None for records of other kinds, and for those that neither settled anything nor were noted.
    """
    is_settlement = PaymentKind(payment["kind"]).settlement is not None
    if not is_settlement or payment["state"] not in (ItemState.APPLIED, ItemState.NOTED):
        return None, None
    amount: int = payment["amount"]
    # Releases that reverse payments only as a whole keep no amount.
    reversed_amount = amount if payment["reversed_by"] else payment["reversed_amount"] or 0
    return reversed_amount, amount - reversed_amount


async def payment(
    connection: Connection, institution_id: str, source: str, payment_id: str
) -> asyncpg.Record | None:
    """The payment of this identity; None if it is not known."""
    return await connection.fetchrow(SQL["payment"], institution_id, source, payment_id)


async def payments_since(
    connection: Connection,
    since: datetime,
    institution_id: str | None = None,
    source: str | None = None,
    limit: int = 100,
) -> list[asyncpg.Record]:
    """The first payments whose `paid_at` is not before `since`, in the order of `paid_at`."""
    return await connection.fetch(SQL["payments_since"], institution_id, source, since, limit)


async def fine_of_payment(connection: Connection, payment: asyncpg.Record) -> str | None:
    """The fine that was paid; None if the payment names no fine and no known line."""
    fine_id: str | None = payment["fine_id"]
    line = payment["bursar_transaction_id"]
    if fine_id is not None or line is None:
        return fine_id
    return await fine_of_line(connection, payment["institution_id"], line)


async def fines_of_payment(connection: Connection, payment: asyncpg.Record) -> list[str]:
    """The fines that were paid; several only of a sum without a line, none if none is known."""
    fine_id = await fine_of_payment(connection, payment)
    if fine_id is not None:
        return [fine_id]
    meant = payment["reverses"] or payment["payment_id"]
    key = (payment["institution_id"], payment["source"], meant)
    return [row["fine_id"] for row in await connection.fetch(SQL["fines_of_sum"], *key)]


async def fine_of_line(
    connection: Connection, institution_id: str, bursar_transaction_id: str
) -> str | None:
    """The fine of an exported line; None if the line is not known."""
    row = await connection.fetchrow(SQL["line"], institution_id, bursar_id(bursar_transaction_id))
    return None if row is None else row["fine_id"]


async def fine_of_change(
    connection: Connection, institution_id: str, source: str, change_id: str
) -> str | None:
    """The fine that was changed; None if the change is not known."""
    key = (institution_id, source, change_id)
    fine_id: str | None = await connection.fetchval(SQL["fine_of_change"], *key)
    return fine_id
