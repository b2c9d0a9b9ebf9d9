"""Declares the commands `recovered ...`: what operators have to look at or decide after
`bursar-bridge recover`.
"""

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

recovered = group(
    application, "recovered", "What operators have to look at or decide after a recovery."
)
LineOption = Annotated[
    str | None, typer.Option("--line", help="Bursar transaction id of the export line.")
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", min=1, help="Only export lines of the batch with this number."),
]
FineOption = Annotated[
    str | None, typer.Option("--fine", help="Only export lines of the fine with this fine_id.")
]


@command(recovered, "accounts", work="recovery_lists.list_accounts")
def list_accounts(
    *,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Also list accounts whose balance equals the last published one again."
        ),
    ] = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the accounts whose balance differs from the last one that the lost database had
    published.

    For each account the list names the last event that the lost database had published: an operator
    may have to repeat the decision, or a sender the record, that the event reports.
    """


@command(recovered, "batches", work="recovery_lists.list_batches")
def list_batches(options: ShowOptions) -> None:
    """List the batches that the recovery has taken over from Kafka, where their bytes are, and how
    many of their lines still wait for their fines.
    """


@command(recovered, "decisions", work="recovery_lists.list_decisions")
def list_decisions(options: ShowOptions) -> None:
    """List the operators' decisions that had been published to Kafka and that the restored database
    lacked.

    The service does not repeat these decisions (releases, discards, pauses, erasures); operators
    have to make them again.
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
    """List the export lines that were published and have not been assigned to their fines since the
    database was restored.

    While the service reads its input topics again after a recovery, it assigns such lines to their
    fines by itself.
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
    """Assign waiting export lines to their fines; the amount of each fine is changed to the amount
    of its line.

    The fine is changed and not the line, because the bursar already collects the amount of the
    line.
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
    """Give waiting export lines up: they count as refused by the bursar, and their fines may be
    exported again.
    """
