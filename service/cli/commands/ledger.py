"""`reconcile`, `balance`, `history`, `payments`, `erase`, `held`: what people ask of the ledger."""

from dataclasses import dataclass
from typing import Annotated

import typer

from ...core.words import HeldReason
from .declare import command, group
from .options import (
    BulkOptions,
    DecisionOptions,
    InstitutionOption,
    JsonOption,
    ListOptions,
    ProfileOption,
    ShowOptions,
    SourceOption,
    YesOption,
)

application = typer.Typer()
RequiredInstitutionOption = Annotated[
    str, typer.Option("--institution", help="Id of the institution.")
]


@command(application, "reconcile", work="accounts.reconcile_ledger")
def reconcile_ledger(
    institution: InstitutionOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="Differences told of each check.")
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare every sum two ways, as of one instant; exit code 1 if any two differ.

    Exit code 3 if the database is older than Kafka: then its sums are those of another day.

    Of a profile, exported is what the bursar was given to collect, paid by now or not; of the
    accounts, active is what is owed in the library now, transferred what is owed at the bursar.
    """


@command(application, "balance", work="accounts.show_balance")
def show_balance(
    institution: RequiredInstitutionOption,
    patron: Annotated[str, typer.Option("--patron", help="The patron_id.")],
    currency: Annotated[str | None, typer.Option("--currency", help="One currency alone.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As of an instant, such as 2026-09-01T00:00:00Z.")
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--effective", help="With --at: as it was known then, or as it was then."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A patron's balances: in the library, at the bursar, and together."""


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """Whose history is meant; one of them is given."""

    patron: Annotated[str | None, typer.Option("--patron", help="The patron_id.")] = None
    fine: Annotated[str | None, typer.Option("--fine", help="The fine_id.")] = None
    payment: Annotated[
        tuple[str, str] | None,
        typer.Option("--payment", help="Source and payment_id of the fine's payment."),
    ] = None
    change: Annotated[
        tuple[str, str] | None,
        typer.Option("--change", help="Source and change_id of the fine's change."),
    ] = None
    bursar_transaction_id: Annotated[
        str | None, typer.Option("--line", help="A bursar transaction id of the fine.")
    ] = None


@command(application, "history", work="history.show_history")
def show_history(
    *,
    institution: RequiredInstitutionOption,
    selected: HistoryOptions,
    options: ShowOptions,
) -> None:
    """A fine's whole story, or a patron's: the ledger, answers, what waits, refusals, decisions.

    The fine may be named by a payment, a change or a line of it, too.
    """


@command(application, "erase", work="accounts.erase_patron")
def erase_patron(
    *,
    institution: Annotated[str, typer.Option(help="Id of the institution.")],
    patron: Annotated[str, typer.Option(help="Id of the patron.")],
    only_texts: Annotated[
        bool,
        typer.Option(
            "--only-texts",
            help="Only comments and reasons of transactions, also while something is owed.",
        ),
    ] = False,
    yes: YesOption = False,
    decision: DecisionOptions,
) -> None:
    """Erase name, identifiers, items, comments and reasons of a patron; amounts and ids stay.

    Refused while a fine of the patron is open or outstanding. It cannot be undone. Sealed batches,
    records that wait or were rejected, and topics are not reached: see the runbook.
    """


payments = group(
    application, "payments", "Payments that the bursar has reported, with what became of each."
)


@command(payments, "list", work="history.list_payments")
def list_payments(
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Paid at this instant or later, as 2026-09-01T00:00:00Z."),
    ] = None,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    options: ListOptions,
) -> None:
    """All payments, reversals, write-offs and statuses by the time they were paid at.

    applied; partly: what fitted settled the fine, the rest became a credit; noted: without effect
    on the balances; parked; rejected. A record that was refused before its identity counted
    (malformed, or in conflict with another) is in `rejected list` alone.
    """


held = group(application, "held", "Open fines that are held back from export.")
FineOption = Annotated[str | None, typer.Option("--fine", help="The fine_id.")]


@command(held, "list", work="held.list_held")
def list_held(
    *,
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    patron: Annotated[
        str | None, typer.Option("--patron", help="The patron_id; with --institution.")
    ] = None,
    fine: FineOption = None,
    because: Annotated[
        HeldReason | None, typer.Option("--because", help="Only those with this reason.")
    ] = None,
    waiting: Annotated[
        bool,
        typer.Option("--waiting", help="Also what is not due yet, or in a paused profile."),
    ] = False,
    options: ListOptions,
) -> None:
    """Fines that the next runs would hold back, and those that no profile takes, with the reason.

    A line per fine and profile. With --waiting also those that wait for their age or a minimum
    amount, and those that are due in a profile that is paused: with the fines of `export preview`
    these are all open fines.
    """


@command(held, "show", work="held.show_held")
def show_held(
    institution: RequiredInstitutionOption,
    fine: Annotated[str, typer.Option("--fine", help="The fine_id.")],
    as_json: JsonOption = False,
) -> None:
    """One fine, what each profile says of it, and what was decided about it before.

    due: in the next run. not_this_profile: not its to export. too_young, below_minimum: it waits;
    of a credit, and of a patron's sum, the amount counts without its sign. Else held back.
    """


@command(held, "release", work="held.release")
def release_held(
    *,
    institution: InstitutionOption = None,
    fine: FineOption = None,
    profile: ProfileOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Offer refused or not exportable fines to the next run."""
