"""Answers operators' questions about the ledger: balances, batches, payments, and which fine an id
belongs to.

Amounts are minor units of the row's currency; times have the time zone UTC.
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
    """How a balance at a past instant is computed: from the changes that the service had recorded
    by then, or from those that had happened by then.
    """

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of an account. A balance that is computed by when changes happened
    (`AsOf.EFFECTIVE`) has no epoch and no sequence.
    """

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
    """Returns a patron's balances now, or at a past instant; the list is empty for a patron without
    accounts.
    """
    key = (institution_id, patron_id, currency)
    if at is None:
        rows = await connection.fetch(SQL["balances_now"], *key)
    else:
        rows = await connection.fetch(SQL[f"balances_{as_of}"], *key, at)
    return [Balance(*row.values()) for row in rows]


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches a command is about; a field that is None allows any value. If an export line or
    a fine is given, its institution has to be given as well.
    """

    institution_id: str | None = None
    profile: str | None = None
    state: BatchState | None = None
    bursar_transaction_id: str | None = None
    fine_id: str | None = None
    limit: int = 100


async def batches(
    connection: Connection, selected: BatchFilter | None = None
) -> list[asyncpg.Record]:
    """Returns the batches that the filter allows, as rows of the view report_batch, newest
    first.
    """
    selected = selected or BatchFilter()
    institution_id, state = selected.institution_id, selected.state
    if selected.bursar_transaction_id is None and selected.fine_id is None:
        key = (institution_id, selected.profile, state)
        return await connection.fetch(SQL["batches"], *key, None, selected.limit)
    assert institution_id is not None
    if selected.bursar_transaction_id is not None:
        key_of_line = (institution_id, bursar_id(selected.bursar_transaction_id))
        places = await connection.fetch(SQL["fine_and_batch_of_line"], *key_of_line)
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
    """Returns the institutions that have a batch of this profile and number: several if the code of
    the profile was moved from one institution to another.
    """
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
    """Returns what became of an export line, such as "refused" or "settled"; the line is a row of
    the view report_line.
    """
    if line["state"] == "refused":
        return "refused"
    if line["fine_status"] == "Closed":
        return "closed"
    if line["outstanding"] == 0:
        return "settled"
    return "open" if line["outstanding"] == line["amount"] else "partly settled"


def totals(lines: Iterable[asyncpg.Record]) -> Mapping[str, int]:
    """Returns how many of the export lines were refused, closed, settled, partly settled or are
    open.
    """
    return Counter(map(became, lines))


class PaymentOutcome(StrEnum):
    """What the service has done with a payment."""

    APPLIED = "applied"
    PARTLY = "partly"  # a part paid the fine, the rest became a credit
    NOTED = "noted"
    PARKED = "parked"
    REJECTED = "rejected"


def payment_outcome(payment: asyncpg.Record) -> PaymentOutcome:
    """Returns what the service has done with a payment, which is a row that `payment` or
    `payments_since` has returned.
    """
    if payment["state"] == "applied" and payment["excess"]:
        return PaymentOutcome.PARTLY
    return PaymentOutcome(payment["state"])


def amounts_reversed(payment: asyncpg.Record) -> tuple[int | None, int | None]:
    """Returns how much of a payment or write-off was reversed, and how much of it can still be
    reversed, in minor units.

    Both amounts are None for records of other kinds, such as reversals, and for payments that were
    neither applied nor noted.
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
    """Returns the payment with this institution, source and id; None if it is not known."""
    return await connection.fetchrow(SQL["payment"], institution_id, source, payment_id)


async def payments_since(
    connection: Connection,
    since: datetime,
    institution_id: str | None = None,
    source: str | None = None,
    limit: int = 100,
) -> list[asyncpg.Record]:
    """Returns the first `limit` payments that were paid at `since` or later, in the order of
    `paid_at`.
    """
    return await connection.fetch(SQL["payments_since"], institution_id, source, since, limit)


async def fine_of_payment(connection: Connection, payment: asyncpg.Record) -> str | None:
    """Returns the fine that a payment is for; None if the payment names no fine and no known export
    line.
    """
    fine_id: str | None = payment["fine_id"]
    bursar_transaction_id = payment["bursar_transaction_id"]
    if fine_id is not None or bursar_transaction_id is None:
        return fine_id
    return await fine_of_line(connection, payment["institution_id"], bursar_transaction_id)


async def fines_of_payment(connection: Connection, payment: asyncpg.Record) -> list[str]:
    """Returns the fines that a payment is for: several only if it names nothing but a patron (a sum
    without a line), none if no fine is known.
    """
    fine_id = await fine_of_payment(connection, payment)
    if fine_id is not None:
        return [fine_id]
    meant = payment["reverses"] or payment["payment_id"]
    key = (payment["institution_id"], payment["source"], meant)
    return [row["fine_id"] for row in await connection.fetch(SQL["fines_of_sum"], *key)]


async def fine_of_line(
    connection: Connection, institution_id: str, bursar_transaction_id: str
) -> str | None:
    """Returns the fine of the export line with this bursar transaction id; None if the line is not
    known.
    """
    key = (institution_id, bursar_id(bursar_transaction_id))
    row = await connection.fetchrow(SQL["fine_and_batch_of_line"], *key)
    return None if row is None else row["fine_id"]


async def fine_of_change(
    connection: Connection, institution_id: str, source: str, change_id: str
) -> str | None:
    """Returns the fine that a change in the library is about; None if the change is not known."""
    key = (institution_id, source, change_id)
    fine_id: str | None = await connection.fetchval(SQL["fine_of_change"], *key)
    return fine_id
