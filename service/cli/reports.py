"""`bursar-bridge balance`, `history`: what people ask of the ledger."""

import asyncio
from datetime import datetime

import asyncpg

from service.cli.errors import operator_errors, settings_or_exit
from service.cli.lists import Listing, Row, identifier, number, sentence, text, word
from service.cli.shown import (
    database,
    misuse,
    money,
    printed,
    require,
)
from service.cli.tables import show
from service.messages.values import INSTANT_RULE, instant
from service.settings import Settings
from service.upkeep import history, reports
from service.upkeep.history import Entry, Story
from service.upkeep.reports import AsOf, Balance

BALANCES = Listing(
    "no such account",
    (
        identifier("patron_id"),
        word("currency"),
        number("active"),
        number("transferred"),
        number("total"),
        identifier("institution_id"),
        number("sequence"),
        number("epoch"),
    ),
)
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


def balance(
    institution: str,
    patron: str,
    currency: str | None,
    at: str | None,
    recorded: bool | None,
    as_json: bool,
) -> None:
    if recorded is not None and at is None:
        raise misuse("--recorded, --effective: only with --at")
    moment = _instant(at)
    as_of = AsOf.EFFECTIVE if recorded is False else AsOf.RECORDED
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_balances(settings, institution, patron, currency, moment, as_of))
    require(found)
    show(BALANCES, [_balance(institution, patron, balance) for balance in found], as_json)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise misuse(f"--at: {INSTANT_RULE}")
    return found


async def _balances(
    settings: Settings,
    institution: str,
    patron: str,
    currency: str | None,
    at: datetime | None,
    as_of: AsOf,
) -> list[Balance]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await reports.balances(connection, institution, patron, currency, at, as_of)


def _balance(institution: str, patron: str, one: Balance) -> Row:
    return {
        "institution_id": institution,
        "patron_id": patron,
        "currency": one.currency,
        "active": money(one.active, one.currency),
        "transferred": money(one.transferred, one.currency),
        "total": money(one.total, one.currency),
        "epoch": one.epoch,
        "sequence": one.sequence,
    }


def show_history(
    institution: str, patron: str | None, fine: str | None, wide: bool, as_json: bool
) -> None:
    if (patron is None) == (fine is None):
        raise misuse("name one of --patron, --fine")
    settings = settings_or_exit()
    with operator_errors():
        story = asyncio.run(_story(settings, institution, patron, fine))
    require([*story.fines, *story.entries])
    show(FINES, [_fine(row) for row in story.fines], as_json, wide=wide)
    show(ENTRIES, [_entry(entry) for entry in story.entries], as_json, wide=wide)


async def _story(
    settings: Settings, institution: str, patron: str | None, fine: str | None
) -> Story:
    async with (
        database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if patron is not None:
            return await history.story_of_patron(connection, institution, patron)
        assert fine is not None
        return await history.story_of_fine(connection, institution, fine)


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
