"""`bursar-bridge balance` and `erase`: what a patron owes, and what is known of a patron."""

import asyncio

from ..apply.operator_actions import DecisionResult, Justification
from ..operations import reports
from ..operations.erasure import PatronKey, erase
from ..operations.reports import AsOf, Balance
from ..settings import Settings
from .commands.options import DecisionOptions
from .decisions import confirm, justification, show_results
from .errors import end_without, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, word
from .problems import operator_errors
from .session import read_database, writing
from .tables import show
from .texts import money, parse_instant

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


def show_balance(
    institution: str,
    patron: str,
    currency: str | None,
    at: str | None,
    recorded: bool | None,
    as_json: bool,
) -> None:
    """Shows a patron's balances, of now or as of an instant."""
    if recorded is not None and at is None:
        raise usage_error("--recorded, --effective: only with --at")
    moment = parse_instant("--at", at)
    as_of = AsOf.EFFECTIVE if recorded is False else AsOf.RECORDED
    balances = read_database(
        lambda connection: reports.balances(
            connection, institution, patron, currency, moment, as_of
        )
    )
    if not balances:
        end_without("account")
    show(BALANCES, [_row(institution, patron, balance) for balance in balances], as_json)


def _row(institution: str, patron: str, balance: Balance) -> Row:
    return {
        "institution_id": institution,
        "patron_id": patron,
        "currency": balance.currency,
        "active": money(balance.active, balance.currency),
        "transferred": money(balance.transferred, balance.currency),
        "total": money(balance.total, balance.currency),
        "epoch": balance.epoch,
        "sequence": balance.sequence,
    }


def erase_patron(
    institution: str, patron: str, decision: DecisionOptions, only_texts: bool, yes: bool
) -> None:
    """Erases what is known of a patron in words, after the operator has confirmed it."""
    settings = settings_or_exit()
    why = justification(decision.reason, decision.operator)
    confirm(
        f"Erase what is known of patron {patron} of institution {institution} for good?"
        " (without a terminal: --yes)",
        yes=yes,
    )
    with operator_errors():
        key = PatronKey(institution, patron)
        result = asyncio.run(_erased(settings, key, why, only_texts))
    show_results([result], decision.as_json)


async def _erased(
    settings: Settings, key: PatronKey, why: Justification, only_texts: bool
) -> DecisionResult:
    async with writing(settings) as writer:
        return await erase(writer, key, why, only_texts=only_texts)
