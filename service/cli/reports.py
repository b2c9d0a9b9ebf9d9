"""`bursar-bridge balance`: what people ask of an account."""

import asyncio
from datetime import datetime

from ..messages.values import INSTANT_RULE, instant
from ..operations import reports
from ..operations.reports import AsOf, Balance
from ..settings import Settings
from .errors import operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, word
from .shown import (
    database,
    misuse,
    money,
    require,
)
from .tables import show

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
