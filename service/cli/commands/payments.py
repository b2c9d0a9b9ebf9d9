"""`bursar-bridge payments`: what the bursar has reported, and what became of it."""

from typing import Annotated

import typer

from ..options import (
    InstitutionOption,
    JsonOption,
    LimitOption,
    SourceOption,
    WideOption,
)

application = typer.Typer(
    help="Payments that the bursar has reported, with what became of each.", no_args_is_help=True
)


@application.command("list")
def list_payments(
    since: Annotated[
        str | None,
        typer.Option("--since", help="Paid at this instant or later, as 2026-09-01T00:00:00Z."),
    ] = None,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """All payments, reversals, write-offs and statuses by the time they were paid at.

    applied; partly: what fitted settled the fine, the rest became a credit; noted: without effect
    on the balances; parked; rejected. A record that was refused before its identity counted
    (malformed, or in conflict with another) is in `rejected list` alone.
    """
    from .. import payments

    payments.list_payments(since, institution, source, limit, wide, as_json)
