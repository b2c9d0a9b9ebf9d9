"""`bursar-bridge reconcile`: whether the books agree with themselves."""

import asyncio

import typer

from ..operations.reconcile import (
    AccountTotal,
    Difference,
    ProfileTotal,
    Reconciled,
    reconcile,
)
from ..settings import Settings
from . import progress
from .errors import FAILED, OLDER, complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, word
from .restore_check import warn_of_older_database
from .shown import database, money
from .tables import show

PROFILES = Listing(
    "nothing was exported",
    (
        identifier("profile"),
        word("currency"),
        number("exported"),
        number("paid"),
        number("written_off"),
        number("outstanding"),
        number("difference"),
        number("lines"),
        identifier("institution_id"),
    ),
)
ACCOUNTS = Listing(
    "there are no accounts",
    (
        identifier("institution_id"),
        word("currency"),
        number("accounts"),
        number("active"),
        number("transferred"),
        number("total"),
    ),
)
DIFFERENCES = Listing(
    "no differences",
    (
        word("name"),
        number("expected"),
        number("found"),
        word("currency"),
        identifier("institution_id"),
        identifier("patron_id"),
        identifier("fine_id"),
        identifier("profile"),
        number("batch_number"),
        number("sequence"),
    ),
)


def reconcile_books(institution: str | None, limit: int, as_json: bool) -> None:
    settings = settings_or_exit()
    with operator_errors():
        done = asyncio.run(_reconciled(settings, institution, limit))
        is_older = asyncio.run(warn_of_older_database(settings))
    _show(done, as_json)
    if done.is_cut:
        complain(f"there are more differences than told: --limit {limit}")
    if is_older:  # its sums may agree all the same: they are those of another day
        raise typer.Exit(OLDER)
    if not done.agrees:
        raise typer.Exit(FAILED)


async def _reconciled(settings: Settings, institution: str | None, limit: int) -> Reconciled:
    async with database(settings) as pool:
        with progress.waiting("comparing"):
            return await reconcile(pool, institution, limit)


def _show(done: Reconciled, as_json: bool) -> None:
    show(PROFILES, [_profile(total) for total in done.profiles], as_json)
    show(ACCOUNTS, [_account(total) for total in done.accounts], as_json)
    if done.differences or not as_json:
        show(DIFFERENCES, [_difference(difference) for difference in done.differences], as_json)


def _profile(one: ProfileTotal) -> Row:
    amounts = {
        "exported": one.exported,
        "paid": one.paid,
        "written_off": one.written_off,
        "outstanding": one.outstanding,
        "difference": one.difference,
    }
    return {
        "what": "profile",
        "institution_id": one.institution_id,
        "profile": one.profile,
        "currency": one.currency,
        "lines": one.lines,
        **{name: money(minor, one.currency) for name, minor in amounts.items()},
    }


def _account(one: AccountTotal) -> Row:
    return {
        "what": "accounts",
        "institution_id": one.institution_id,
        "currency": one.currency,
        "accounts": one.accounts,
        "active": money(one.active, one.currency),
        "transferred": money(one.transferred, one.currency),
        "total": money(one.active + one.transferred, one.currency),
    }


def _difference(one: Difference) -> Row:
    def shown(number: int) -> str | None:
        return money(number, one.currency) if one.is_money else str(number)

    return {
        "what": "difference",
        "name": one.name,
        "institution_id": one.institution_id,
        "patron_id": one.patron_id,
        "currency": one.currency,
        "fine_id": one.fine_id,
        "profile": one.profile,
        "batch_number": one.batch_number,
        "sequence": one.sequence,
        "expected": shown(one.expected),
        "found": shown(one.found),
    }
