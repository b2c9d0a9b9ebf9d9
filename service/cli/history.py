"""`bursar-bridge history`: the story of a fine or a patron, found by any id that names it."""

import asyncio
from dataclasses import dataclass

import asyncpg

from ..database.session import Connection
from ..operations import history, look_up, payments
from ..operations.history import Entry, Story
from ..settings import Settings
from .errors import operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, sentence, text, word
from .payments import PAYMENTS, payment_row
from .shown import database, misuse, money, printed, require
from .tables import show

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
        text("refused_reason"),
        identifier("institution_id", wide=True),
        identifier("patron_id", wide=True),
        word("type", wide=True),
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
        text("text"),
        word("status", wide=True),
        number("remaining", wide=True),
        word("currency", wide=True),
        word("occurred_at", wide=True),
        number("active_change", wide=True),
        number("transferred_change", wide=True),
    ),
)
WAYS = "--patron, --fine, --payment, --change, --line"


@dataclass(frozen=True, slots=True)
class _Named:
    """One of them is given. `payment` and `change`: the sending system's code and its id."""

    institution_id: str
    patron_id: str | None
    fine_id: str | None
    payment: tuple[str, str] | None
    change: tuple[str, str] | None
    line: str | None

    @property
    def count(self) -> int:
        ways = (self.patron_id, self.fine_id, self.payment, self.change, self.line)
        return sum(way is not None for way in ways)


def show_history(
    institution: str,
    patron: str | None,
    fine: str | None,
    payment: tuple[str, str] | None,
    change: tuple[str, str] | None,
    line: str | None,
    wide: bool,
    as_json: bool,
) -> None:
    named = _Named(institution, patron, fine, payment, change, line)
    if named.count != 1:
        raise misuse(f"name one of {WAYS}")
    settings = settings_or_exit()
    with operator_errors():
        paid, story = asyncio.run(_story(settings, named))
    require([*story.fines, *story.entries, *([] if paid is None else [paid])])
    if paid is not None:
        show(PAYMENTS, [{"what": "payment", **payment_row(paid)}], as_json, wide=wide)
    show(FINES, [_fine(row) for row in story.fines], as_json, wide=wide)
    show(ENTRIES, [_entry(entry) for entry in story.entries], as_json, wide=wide)


async def _story(settings: Settings, named: _Named) -> tuple[asyncpg.Record | None, Story]:
    async with (
        database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        institution_id = named.institution_id
        if named.patron_id is not None:
            return None, await history.story_of_patron(connection, institution_id, named.patron_id)
        paid, fine_id = await _found(connection, named)
        if fine_id is not None:
            return paid, await history.story_of_fine(connection, institution_id, fine_id)
        identity = named.payment or named.change
        if identity is None:
            return paid, Story()
        return paid, await history.story_of_record(connection, institution_id, *identity)


async def _found(connection: Connection, named: _Named) -> tuple[asyncpg.Record | None, str | None]:
    """The payment that is named, and the fine that is meant."""
    institution_id = named.institution_id
    if named.payment is not None:
        paid = await payments.payment(connection, institution_id, *named.payment)
        return paid, None if paid is None else await look_up.fine_of_payment(connection, paid)
    if named.change is not None:
        return None, await look_up.fine_of_change(connection, institution_id, *named.change)
    if named.line is not None:
        return None, await look_up.fine_of_line(connection, institution_id, named.line)
    return None, named.fine_id


def _fine(row: asyncpg.Record) -> Row:
    return {"what": "fine", **printed(row, ("amount", "remaining", "outstanding"))}


_AMOUNTS = ("amount", "active_change", "transferred_change", "remaining", "outstanding")


def _entry(one: Entry) -> Row:
    row: dict[str, object] = {
        "what": one.what.value,
        "recorded_at": one.recorded_at,
        "occurred_at": one.occurred_at,
        "fine_id": one.fine_id,
        "kind": one.kind,
        "text": one.text,
        "reference": one.reference,
        "status": one.fine_status,
        "currency": one.currency,
    }
    minor: dict[str, int | None] = {name: getattr(one, name) for name in _AMOUNTS}
    if one.currency is not None:
        row |= {name: money(value, one.currency) for name, value in minor.items()}
    return row
