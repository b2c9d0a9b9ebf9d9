"""`reconcile`, `audit`, `balance`, `history`, `payments`, `erase`, `held`: commands that read the
ledger, or decide about a fine or a patron.
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
        int, typer.Option("--limit", min=1, max=1_000_000, help="Differences told of each check.")
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compute every sum in two ways, as of one instant; exit code 1 if any two differ.

    Exit code 3 means that the database is older than Kafka, so that its sums are those of an
    earlier time.

    For a profile, `exported` is what the bursar was given to collect, whether it has been paid or
    not. For accounts, `active` is what is owed in the library now, and `transferred` what is owed
    at the bursar.
    """


@command(application, "audit", work="audit.audit_published")
def audit_published(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="Differences told in all.")
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare everything that was published with everything that is recorded; exit code 1 if
    anything differs.

    The command reads all output topics and writes nothing; the service can go on working. `waiting`
    are records that are still to be sent, or in quarantine. Exit code 3 means that the database is
    older than Kafka.
    """


@command(application, "balance", work="accounts.show_balance")
def show_balance(
    institution: RequiredInstitutionOption,
    patron: Annotated[str, typer.Option("--patron", help="The patron_id.")],
    currency: Annotated[
        str | None, typer.Option("--currency", help="Only accounts in this currency.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As of an instant, such as 2026-09-01T00:00:00Z.")
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--effective",
            help="With --at: what was recorded by then (usual), or what had happened by then.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balances of a patron in the library, at the bursar, and in all."""


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """The fine or the patron whose history is shown; exactly one of these options is given."""

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
    """Show everything that happened to a fine, or to all fines of a patron.

    The fine can also be named by one of its payments, changes or export lines.
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

    The command is refused while a fine of the patron is open or outstanding. It cannot be undone.
    It does not change sealed batches, parked and rejected records, and topics: see the runbook.
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
    """List all payments, reversals, write-offs and statuses in the order of `paid_at`.

    The outcome is one of these words. `applied`: the payment was applied. `partly`: a part of it
    settled the fine, and the rest became a credit. `noted`: it had no effect on the balances.
    `parked` and `rejected`: the record waits, or was rejected. A malformed record, and a record
    that conflicts with another one, is only in `rejected list`. With `--wide`: how much of a
    payment was reversed, and how much of it is left.
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
        typer.Option(
            "--waiting",
            help="Also fines that are not due yet, or that are due in a paused profile.",
        ),
    ] = False,
    options: ListOptions,
) -> None:
    """List fines that the next runs would hold back and fines that no profile takes.

    There is a row for each fine and profile. --waiting adds the fines that wait for their age or
    for a minimum amount, and those that are due in a paused profile. Together with the fines of
    `export preview` these are all open fines.
    """


@command(held, "show", work="held.show_held")
def show_held(
    institution: RequiredInstitutionOption,
    fine: Annotated[str, typer.Option("--fine", help="The fine_id.")],
    as_json: JsonOption = False,
) -> None:
    """Show any fine, held back or not: what each profile decides about it, and what people decided.

    `due` means that the next run exports the fine, `paused` that it would do so if the profile were
    not paused, `not_this_profile` that this profile does not export it, and `too_young` and
    `below_minimum` that the fine has to wait; a credit and the sum of a patron are compared without
    their sign. Any other code says why the fine is held back. `no_profile` means that no profile
    takes the fine. A fine that was exported or closed has no profiles; `exported as` is the number
    of its line.
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
    """Offer refused, not exportable or unconfirmed fines to the next run."""
