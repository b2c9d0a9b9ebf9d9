"""Declares the commands that read the ledger, or decide about a fine or a patron: `reconcile`,
`audit`, `balance`, `history`, `payments`, `erase` and `held`.
"""

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
        int,
        typer.Option(
            "--limit",
            min=1,
            max=1_000_000,
            help="Show at most this many differences for each check.",
        ),
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compute every sum of the ledger in two independent ways, from one snapshot of the database;
    exit code 1 if two results differ.

    Exit code 3 means that the database is older than the records in Kafka (a backup was restored),
    so that even sums that agree are those of an earlier time.

    In the row of a profile, `exported` is the sum that was handed to the bursar for collection,
    whether it has been paid or not. In the rows of accounts, `active` is what patrons owe in the
    library now, and `transferred` what they owe at the bursar now.
    """


@command(application, "audit", work="audit.audit_published")
def audit_published(
    limit: Annotated[
        int,
        typer.Option(
            "--limit", min=1, max=1_000_000, help="Show at most this many differences in all."
        ),
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare every record in the Kafka output topics with the rows of the database, and every row
    with the records; exit code 1 if anything differs.

    The command reads all output topics and writes nothing; the service may run
    meanwhile. The column `waiting` counts records that are still to be sent to Kafka, or that are
    in quarantine because the broker refused them. Exit code 3 means that the database is older than
    the records in Kafka: a backup was restored.
    """


@command(application, "balance", work="accounts.show_balance")
def show_balance(
    institution: RequiredInstitutionOption,
    patron: Annotated[str, typer.Option("--patron", help="The patron_id.")],
    currency: Annotated[
        str | None,
        typer.Option("--currency", help="Show only the patron's account in this currency."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Show the balances of this instant, such as 2026-09-01T00:00:00Z, instead "
            "of those of now.",
        ),
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--effective",
            help="With --at: count what the database had recorded by that instant (the "
            "default), or what had happened by that instant, even if it was "
            "recorded later.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show, for each currency, what a patron owes in the library, at the bursar, and in total."""


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """Options of `history` that name the fine or the patron whose history is shown; the operator
    gives exactly one of them.
    """

    patron: Annotated[str | None, typer.Option("--patron", help="The patron_id.")] = None
    fine: Annotated[str | None, typer.Option("--fine", help="The fine_id.")] = None
    payment: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--payment",
            help="Show the fine that was paid by the payment with this source and payment_id.",
        ),
    ] = None
    change: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--change",
            help="Show the fine that was changed by the record with this source and change_id.",
        ),
    ] = None
    bursar_transaction_id: Annotated[
        str | None,
        typer.Option(
            "--line", help="Show the fine whose export line has this bursar transaction id."
        ),
    ] = None


@command(application, "history", work="history.show_history")
def show_history(
    *,
    institution: RequiredInstitutionOption,
    selected: HistoryOptions,
    options: ShowOptions,
) -> None:
    """Show everything that happened to a fine, or to all fines of a patron.

    Instead of by its fine_id, the fine can be named by one of its payments, changes or export
    lines.
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
            help="Erase only the comments and reasons of transactions; this is allowed "
            "even while the patron owes something.",
        ),
    ] = False,
    yes: YesOption = False,
    decision: DecisionOptions,
) -> None:
    """Erase a patron's personal data from the database: name, identifiers, items of fines, comments
    and reasons. Amounts and ids stay.

    The command is refused while a fine of the patron is open in the library or still owed at the
    bursar. An erasure cannot be undone. Personal data in sealed batches, in parked and rejected
    records, and in Kafka topics is not erased: see the runbook.
    """


payments = group(
    application, "payments", "Payments that the bursar has reported, with what became of each."
)


@command(payments, "list", work="history.list_payments")
def list_payments(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="List only records whose `paid_at` is this instant or later, such as "
            "2026-09-01T00:00:00Z.",
        ),
    ] = None,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    options: ListOptions,
) -> None:
    """List all records in which the bursar reported a payment, a reversal, a write-off or a status,
    in the order of `paid_at`.

    The column `outcome` says what became of each record. `applied` means that its whole amount
    changed the balances. `partly` means that only a part of a payment settled the fine and the rest
    became a credit. `noted` means that the record was stored as a transaction without changing a
    balance. `parked` means that the record still waits, and `rejected` that it was not applied.
    Malformed records, and records that conflict with an earlier one, are not in this list but in
    `rejected list`. With `--wide` the list also shows how much of each payment was reversed, and
    how much of it is left.
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
        HeldReason | None,
        typer.Option(
            "--because", help="List only fines that have this reason for not being exported."
        ),
    ] = None,
    waiting: Annotated[
        bool,
        typer.Option(
            "--waiting",
            help="Also list fines that are not due yet, and fines that are due in a "
            "paused profile.",
        ),
    ] = False,
    options: ListOptions,
) -> None:
    """List the open fines that the next runs of the profiles would hold back, and the open fines
    that no profile exports.

    If several profiles hold a fine back, the list has one row for each of them. --waiting adds the
    fines that are still too young or below a minimum amount, and those that are due in a paused
    profile. The list with --waiting and the fines that `export preview` shows for each profile are
    together all open fines.
    """


@command(held, "show", work="held.show_held")
def show_held(
    institution: RequiredInstitutionOption,
    fine: Annotated[str, typer.Option("--fine", help="The fine_id.")],
    as_json: JsonOption = False,
) -> None:
    """Show one fine, whether it is held back or not: what each profile would do with it now, and
    what operators have decided about it.

    Each profile is shown with a code. `due` means that the profile's next run exports the fine,
    `paused` that the run would export it if the profile were not paused, and `not_this_profile`
    that the profile does not export such fines. `too_young` and `below_minimum` mean that the fine
    has to wait; the amount of a credit and the sum of a patron's fines are compared with the
    minimum without their sign. `no_profile` means that no profile exports such fines. Any other
    code is the reason why the profile holds the fine back. For a fine that was already exported or
    closed, no profiles are shown; `exported as` is the bursar transaction id of its export line.
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
    """Let the next run export fines that are held back because the bursar refused them, because
    they are marked as not exportable, or because they are credits that nobody has confirmed.
    """
