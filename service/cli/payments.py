"""`bursar-bridge payments`: what the bursar has reported, and what became of it."""

from datetime import UTC, datetime

import asyncpg

from ..operations import reports
from ..operations.reports import PaymentOutcome, payment_outcome
from .commands.options import ListOptions
from .errors import complain
from .lists import Listing, Row, identifier, number, sentence, word
from .session import read_database
from .tables import instant, show
from .texts import parse_instant, with_money

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
    kind="payment",
)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def list_payments(
    options: ListOptions, since: str | None, institution: str | None, source: str | None
) -> None:
    """Lists what the bursar has reported, by the instant of the payment."""
    moment = parse_instant("--since", since) or LONG_AGO
    rows = read_database(
        lambda connection: reports.payments_since(
            connection, moment, institution, source, options.limit
        )
    )
    show(PAYMENTS, [payment_row(row) for row in rows], options.as_json, wide=options.wide)
    if len(rows) == options.limit:
        last = instant(rows[-1]["paid_at"])
        complain(f"more may follow: go on with --since {last}, or with a larger --limit")


def payment_row(payment: asyncpg.Record) -> Row:
    """A row of the list, of a row of the database."""
    row = with_money(payment, ("amount", "applied", "excess"))
    return {
        "institution_id": row["institution_id"],
        "source": row["source"],
        "payment_id": row["payment_id"],
        "kind": row["kind"],
        "outcome": payment_outcome(payment).value,
        "in_words": _in_words(payment, row),
        "amount": row["amount"],
        "currency": row["currency"],
        "applied": row["applied"],
        "excess": row["excess"],
        "fine_id": row["fine_id"],
        "bursar_transaction_id": row["bursar_transaction_id"],
        "credit_id": row["credit_id"],
        "reverses": row["reverses"],
        "reversed_by": row["reversed_by"],
        "reason": row["reason"],
        "wait": row["wait"],
        "paid_at": row["paid_at"],
    }


def _in_words(payment: asyncpg.Record, row: Row) -> str:
    words = _effect(payment, row)
    return f"{words}; reversed by {row['reversed_by']}" if row["reversed_by"] else words


def _effect(payment: asyncpg.Record, row: Row) -> str:
    """What became of the payment, with its amounts."""
    fine_id, applied = row["fine_id"], row["applied"]
    match payment_outcome(payment):
        case PaymentOutcome.REJECTED:
            return f"rejected: {row['reason']}"
        case PaymentOutcome.PARKED:
            return f"waits: {row['wait']}"
        case PaymentOutcome.NOTED:
            return f"noted on {fine_id}, no balance changed"
        case PaymentOutcome.PARTLY:
            rest = f"{row['excess']} became the credit {row['credit_id']}"
            return f"{applied} settled {fine_id}, {rest}" if payment["applied"] else rest
        case PaymentOutcome.APPLIED:
            if row["reverses"] is not None:
                return f"took back {row['reverses']}: {applied} of {fine_id} is outstanding again"
            return f"{applied} settled {fine_id}"
