"""The work of `bursar-bridge balance`, `reconcile` and `erase`: shows accounts, compares their
sums, and erases patrons' personal data.
"""

import asyncio

import typer

from ..apply.operator_actions import DecisionResult, Justification
from ..core.workspace import PatronKey
from ..operations import reports
from ..operations.erasure import erase
from ..operations.reconcile import AccountTotal, Difference, ProfileTotal, Reconciled, reconcile
from ..settings import Settings
from ..wiring import new_outputs
from . import progress
from .commands.options import DecisionOptions
from .decisions import confirm, justification, show_results
from .errors import FAILED, OLDER, complain, end_without, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, word
from .problems import operator_errors
from .restore_check import warn_of_older_database
from .session import database, read_database, writing
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
    """Shows a patron's balances in each currency, of now or of the instant `at`."""
    if recorded is not None and at is None:
        raise usage_error("--recorded, --effective: only with --at")
    moment = parse_instant("--at", at)
    as_of = reports.AsOf.EFFECTIVE if recorded is False else reports.AsOf.RECORDED
    balances = read_database(
        lambda connection: reports.balances(
            connection, institution, patron, currency, moment, as_of
        )
    )
    if not balances:
        end_without("account")
    show(BALANCES, [_row(institution, patron, balance) for balance in balances], as_json)


def _row(institution: str, patron: str, balance: reports.Balance) -> Row:
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
    """Erases a patron's personal data (names, identifiers, comments, reasons), after the operator
    has confirmed it; amounts and ids stay.
    """
    settings = settings_or_exit()
    why = justification(decision.reason, decision.operator)
    confirm(
        f"Erase what is known of patron {patron} of institution {institution} for good?"
        " (without a terminal: --yes)",
        yes=yes,
    )
    with operator_errors():
        result = asyncio.run(_erased(settings, (institution, patron), why, only_texts))
    show_results([result], decision.as_json)


async def _erased(
    settings: Settings, key: PatronKey, why: Justification, only_texts: bool
) -> DecisionResult:
    async with writing(settings) as writer:
        return await erase(writer, new_outputs(settings), key, why, only_texts=only_texts)


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
    kind="account",
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


def reconcile_ledger(institution: str | None, limit: int, as_json: bool) -> None:
    """Shows the sums of the ledger, each computed in two ways, and at most `limit` differences of
    each check.

    Ends the command with exit code 3 if the database is older than Kafka, else with 1 if two sums
    differ.
    """
    settings = settings_or_exit()
    with operator_errors():
        report, is_older = asyncio.run(_reconciled(settings, institution, limit))
    _show(report, as_json)
    if report.is_cut:
        complain(f"there are more differences than told: --limit {limit}")
    if is_older:  # its sums may agree all the same: they are those of another day
        raise typer.Exit(OLDER)
    if not report.agrees:
        raise typer.Exit(FAILED)


async def _reconciled(
    settings: Settings, institution: str | None, limit: int
) -> tuple[Reconciled, bool]:
    async with database(settings) as pool:
        with progress.waiting("comparing"):
            report = await reconcile(pool, institution, limit)
        return report, await warn_of_older_database(settings, pool)


def _show(report: Reconciled, as_json: bool) -> None:
    show(PROFILES, [_profile(total) for total in report.profiles], as_json)
    show(ACCOUNTS, [_account(total) for total in report.accounts], as_json)
    if report.differences or not as_json:
        show(DIFFERENCES, [_difference(difference) for difference in report.differences], as_json)


def _profile(total: ProfileTotal) -> Row:
    amounts = {
        "exported": total.exported,
        "paid": total.paid,
        "written_off": total.written_off,
        "outstanding": total.outstanding,
        "difference": total.difference,
    }
    return {
        "what": "profile",
        "institution_id": total.institution_id,
        "profile": total.profile,
        "currency": total.currency,
        "lines": total.lines,
        **{name: money(minor, total.currency) for name, minor in amounts.items()},
    }


def _account(total: AccountTotal) -> Row:
    return {
        "what": "accounts",
        "institution_id": total.institution_id,
        "currency": total.currency,
        "accounts": total.accounts,
        "active": money(total.active, total.currency),
        "transferred": money(total.transferred, total.currency),
        "total": money(total.active + total.transferred, total.currency),
    }


def _difference(difference: Difference) -> Row:
    def shown(number: int) -> str | None:
        return money(number, difference.currency) if difference.is_money else str(number)

    return {
        "what": "difference",
        "name": difference.name,
        "institution_id": difference.institution_id,
        "patron_id": difference.patron_id,
        "currency": difference.currency,
        "fine_id": difference.fine_id,
        "profile": difference.profile,
        "batch_number": difference.batch_number,
        "sequence": difference.sequence,
        "expected": shown(difference.expected),
        "found": shown(difference.actual),
    }
