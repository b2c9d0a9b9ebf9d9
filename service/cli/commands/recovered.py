"""`recovered`: what a recovery has left to people."""

from typing import Annotated

import typer

from .declare import command, group
from .options import JsonOption, ShowOptions, WideOption

application = typer.Typer()

recovered = group(application, "recovered", "What a recovery has left to people.")


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
