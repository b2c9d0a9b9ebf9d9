"""The work of `bursar-bridge history` and `payments list`: shows what happened to fines, and what
became of payments.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from ..core.bursar_ids import fault_of_unknown_id
from ..core.outcomes import rejected_in_words, waits_in_words
from ..core.words import Reason, Wait
from ..database.session import Connection
from ..operations import history, reports
from ..operations.history import Entry, Story
from ..operations.reports import PaymentOutcome, amounts_reversed, payment_outcome
from .commands.ledger import HistoryOptions
from .commands.options import ListOptions, ShowOptions
from .errors import complain, end_without, usage_error
from .lists import Listing, Row, identifier, number, sentence, word
from .session import read_database
from .tables import instant, show
from .texts import money, parse_instant, with_money

FINES = Listing(
    "the fine is not known",
    (
        identifier("fine_id"),
        word("status"),
        number("amount"),
        number("remaining"),
        number("outstanding"),
        word("currency"),
        identifier("bursar_transaction_id"),
        identifier("profile"),
        number("batch_number"),
        sentence("refused_reason"),
        identifier("institution_id", wide=True),
        identifier("patron_id", wide=True),
        word("type", wide=True),
        number("amount_created", wide=True),
        word("considered", wide=True),
        word("status_code", wide=True),
        word("exportable", wide=True),
        identifier("credit_of", wide=True),
        identifier("loan_id", wide=True),
        word("created_at", wide=True),
        word("changed_at", wide=True),
    ),
)
ENTRIES = Listing(
    "nothing happened",
    (
        word("recorded_at"),
        word("what"),
        word("kind"),
        number("amount"),
        number("outstanding"),
        identifier("fine_id"),
        sentence("reference"),
        sentence("text"),
        word("status", wide=True),
        number("remaining", wide=True),
        word("currency", wide=True),
        word("occurred_at", wide=True),
        number("active_change", wide=True),
        number("transferred_change", wide=True),
    ),
)
WAYS = "--patron, --fine, --payment, --change, --line"


def show_history(institution: str, selected: HistoryOptions, options: ShowOptions) -> None:
    """Shows the selected fines and everything that happened to them; if `--payment` names the fine,
    shows that payment first.
    """
    ways = (
        selected.patron,
        selected.fine,
        selected.payment,
        selected.change,
        selected.bursar_transaction_id,
    )
    if sum(way is not None for way in ways) != 1:
        raise usage_error(f"name one of {WAYS}")
    payment, story = read_database(
        lambda connection: _story(connection, institution, selected), snapshot=True
    )
    if payment is None and not story.fines and not story.entries:
        _complain_of_id(selected.bursar_transaction_id)
        end_without("fine, patron or record")
    as_json, wide = options.as_json, options.wide
    if payment is not None:
        show(PAYMENTS, [{"what": "payment", **payment_row(payment)}], as_json, wide=wide)
    show(FINES, [_fine(row) for row in story.fines], as_json, wide=wide)
    show(ENTRIES, [_entry(entry) for entry in story.entries], as_json, wide=wide)


def _complain_of_id(bursar_transaction_id: str | None) -> None:
    """Says why no line can have an id that is not known, if there is a reason."""
    if bursar_transaction_id is None:
        return
    if bursar_transaction_id.isascii() and bursar_transaction_id.isdigit():
        fault = fault_of_unknown_id(bursar_transaction_id)
        if fault is not None:
            complain(f"--line: no line can have this id: {fault}")


async def _story(
    connection: Connection, institution: str, selected: HistoryOptions
) -> tuple[asyncpg.Record | None, Story]:
    if selected.patron is not None:
        return None, await history.story_of_patron(connection, institution, selected.patron)
    payment, fine_ids = await _fines_of(connection, institution, selected)
    if fine_ids:
        return payment, await history.story_of_fines(connection, institution, fine_ids)
    identity = selected.payment or selected.change
    if identity is None:
        return payment, Story()
    return payment, await history.story_of_record(connection, institution, *identity)


async def _fines_of(
    connection: Connection, institution: str, selected: HistoryOptions
) -> tuple[asyncpg.Record | None, Sequence[str]]:
    """The payment that is named, and the fines that are meant: several of a sum without a line."""
    if selected.payment is not None:
        payment = await reports.payment(connection, institution, *selected.payment)
        if payment is None:
            return None, ()
        return payment, await reports.fines_of_payment(connection, payment)
    fine_id = selected.fine
    if selected.change is not None:
        fine_id = await reports.fine_of_change(connection, institution, *selected.change)
    elif selected.bursar_transaction_id is not None:
        bursar_transaction_id = selected.bursar_transaction_id
        fine_id = await reports.fine_of_line(connection, institution, bursar_transaction_id)
    return None, () if fine_id is None else (fine_id,)


def _fine(row: asyncpg.Record) -> Row:
    return {"what": "fine", **with_money(row, _AMOUNTS_OF_FINE)}


_AMOUNTS_OF_FINE = ("amount", "amount_created", "remaining", "outstanding")
_AMOUNTS = ("amount", "active_change", "transferred_change", "remaining", "outstanding")


def _entry(entry: Entry) -> Row:
    row: dict[str, object] = {
        "what": entry.what.value,
        "recorded_at": entry.recorded_at,
        "occurred_at": entry.occurred_at,
        "fine_id": entry.fine_id,
        "kind": entry.kind,
        "text": entry.text,
        "reference": entry.reference,
        "status": entry.fine_status,
        "currency": entry.currency,
    }
    minor: dict[str, int | None] = {name: getattr(entry, name) for name in _AMOUNTS}
    if entry.currency is not None:
        row |= {name: money(value, entry.currency) for name, value in minor.items()}
    return row


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
        identifier("patron_id", wide=True),
        identifier("bursar_transaction_id", wide=True),
        number("applied", wide=True),
        number("excess", wide=True),
        identifier("credit_id", wide=True),
        identifier("reverses", wide=True),
        number("reversed_amount", wide=True),
        number("amount_left", wide=True),
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
    """Lists the payments, reversals, write-offs and statuses that the bursar has reported, in the
    order of `paid_at`.
    """
    moment = parse_instant("--since", since) or LONG_AGO
    rows = read_database(
        lambda connection: reports.payments_since(
            connection, moment, institution, source, options.limit
        )
    )
    show(PAYMENTS, [payment_row(row) for row in rows], options.as_json, wide=options.wide)
    if len(rows) == options.limit:
        first, last = (instant(rows[at]["paid_at"]) for at in (0, -1))
        # From the instant of the first row on, the same rows would be listed again.
        further = "" if first == last else f"--since {last}, or with "
        complain(f"more may follow: go on with {further}a larger --limit")


def payment_row(payment: asyncpg.Record) -> Row:
    """Returns a row of the command's list of payments, made of a row of the database; amounts get
    the decimals of their currency.
    """
    row = with_money(payment, ("amount", "applied", "excess"))
    reversed_amount, amount_left = amounts_reversed(payment)
    row |= {
        "reversed_amount": money(reversed_amount, payment["currency"]),
        "amount_left": money(amount_left, payment["currency"]),
    }
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
        "patron_id": row["patron_id"],
        "bursar_transaction_id": row["bursar_transaction_id"],
        "credit_id": row["credit_id"],
        "reverses": row["reverses"],
        "reversed_amount": row["reversed_amount"],
        "amount_left": row["amount_left"],
        "reversed_by": row["reversed_by"],
        "reason": row["reason"],
        "wait": row["wait"],
        "paid_at": row["paid_at"],
    }


def _in_words(payment: asyncpg.Record, row: Row) -> str:
    words = _effect(payment, row)
    if row["reversed_by"]:
        return f"{words}; reversed by {row['reversed_by']}"
    if payment["reversed_amount"]:
        return f"{words}; {row['reversed_amount']} of it reversed, {row['amount_left']} left"
    return words


def _effect(payment: asyncpg.Record, row: Row) -> str:
    """What became of the payment, with its amounts."""
    # A sum without a line pays several fines.
    fine_id, applied = row["fine_id"] or ", ".join(payment["fines"] or ()), row["applied"]
    match payment_outcome(payment):
        case PaymentOutcome.REJECTED:
            reason = Reason(payment["reason"])
            return f"rejected: {rejected_in_words(reason, payment['bursar_transaction_id'])}"
        case PaymentOutcome.PARKED:
            return waits_in_words(Wait(payment["wait"]))
        case PaymentOutcome.NOTED:
            return f"noted on {fine_id}, no balance changed"
        case PaymentOutcome.PARTLY:
            rest = f"{row['excess']} became the credit {row['credit_id']}"
            return f"{applied} settled {fine_id}, {rest}" if payment["applied"] else rest
        case PaymentOutcome.APPLIED:
            if row["reverses"] is not None:
                return f"took back {row['reverses']}: {applied} of {fine_id} is outstanding again"
            return f"{applied} settled {fine_id}"
