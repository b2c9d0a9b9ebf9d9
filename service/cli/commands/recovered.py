"""`recovered`: what a recovery has left to people."""

from typing import Annotated

import typer

from .declare import command, group
from .options import (
    BulkOptions,
    DecisionOptions,
    InstitutionOption,
    JsonOption,
    ListOptions,
    ProfileOption,
    ShowOptions,
    WideOption,
)

application = typer.Typer()

recovered = group(application, "recovered", "What a recovery has left to people.")
LineOption = Annotated[
    str | None, typer.Option("--line", help="Bursar transaction id of the line.")
]
BatchOption = Annotated[
    int | None, typer.Option("--batch", min=1, help="Only lines of this batch number.")
]
FineOption = Annotated[
    str | None, typer.Option("--fine", help="Only lines for the fine with this fine_id.")
]


@command(recovered, "accounts", work="recovery_lists.list_accounts")
def list_accounts(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also those whose balance is the same again.")
    ] = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the accounts whose balance is not the one that the lost database had published last.

    The last event that was published is named with each: what it tells may have to be decided or
    sent again.
    """


@command(recovered, "batches", work="recovery_lists.list_batches")
def list_batches(options: ShowOptions) -> None:
    """List the batches that were adopted, where their bytes are, and how many lines still wait."""


@command(recovered, "decisions", work="recovery_lists.list_decisions")
def list_decisions(options: ShowOptions) -> None:
    """List the decisions of people that the restored database lacked.

    Nobody makes them again but people: releases, discards, pauses, erasures.
    """


@command(recovered, "lines", work="recovered.list_lines")
def list_lines(
    *,
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    batch: BatchOption = None,
    fine: FineOption = None,
    options: ListOptions,
) -> None:
    """List the published lines that no fine has taken since the database was restored.

    While the service reads its topics again, fines take their lines by themselves.
    """


@command(recovered, "take", work="recovered.take")
def take(
    *,
    institution: InstitutionOption = None,
    line: LineOption = None,
    profile: ProfileOption = None,
    batch: BatchOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Give lines to their fines, which are adjusted to the amounts of the lines.

    The bursar collects what the line says.
    """


@command(recovered, "drop", work="recovered.drop")
def drop(
    *,
    institution: InstitutionOption = None,
    line: LineOption = None,
    profile: ProfileOption = None,
    batch: BatchOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Give lines up: they count as refused by the bursar, and their fines may be exported again."""
