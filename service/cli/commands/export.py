"""`bursar-bridge export`: run profiles, pause them; preview, list, send and check batches."""

from pathlib import Path
from typing import Annotated

import typer

from ...core.words import BatchState
from .declare import command, group
from .options import (
    AllOption,
    DecisionOptions,
    InstitutionOption,
    ListOptions,
    ProfileOption,
    ShowOptions,
)

application = typer.Typer()
export = group(
    application,
    "export",
    "Run profiles now, pause and resume them; preview, list, show, send again and check batches.",
)
RequiredProfileOption = Annotated[str, typer.Option("--profile", help="Code of a profile.")]
ProfilesOption = Annotated[
    list[str] | None, typer.Option("--profile", help="Code of a profile, several times for more.")
]
BatchOption = Annotated[int, typer.Option("--batch", min=1, help="Number of the batch.")]


@command(export, "run", work="export.run")
def run(
    *,
    profile: ProfilesOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every profile of the file.")] = False,
    even_if_paused: Annotated[
        bool, typer.Option("--even-if-paused", help="Run paused profiles, too, this once.")
    ] = False,
    options: ShowOptions,
) -> None:
    """Run profiles now, whatever their schedule, and show the batches.

    The running service publishes the batches; a run that is open already is gone on with. A profile
    whose run cannot go on stops no other one; its open run waits for the next attempt. Exit code 5:
    another session is the only cause, so that the command can be tried again later. A paused
    profile is not run unless --even-if-paused says so.
    """


@command(export, "preview", work="export.show_preview")
def show_preview(
    *,
    profile: RequiredProfileOption,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder to write the files into, their manifests into manifests/ there; "
            "not the folder a bursar loads from.",
        ),
    ] = None,
    options: ShowOptions,
) -> None:
    """What a run would seal now: the same XML and totals, numbers included; nothing is changed.

    Where the run would fail, the fines on which it would fail are named, behind the batches that it
    would seal before.
    """


@command(export, "resend", work="export.resend")
def resend(
    profile: RequiredProfileOption,
    batch: BatchOption,
    institution: Annotated[
        str | None,
        typer.Option(help="Its id, where no profile of that code is configured any more."),
    ] = None,
) -> None:
    """Publish a sealed batch and its manifest again: the stored bytes, with the same ce_id."""


@command(export, "pause", work="pausing.pause")
def pause(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    decision: DecisionOptions,
) -> None:
    """Stop the runs of profiles until `export resume`: by schedule and by `export run`.

    --all: every profile, with --institution every profile of that institution. A batch that is
    being sealed is waited for.
    """


@command(export, "resume", work="pausing.resume")
def resume(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    decision: DecisionOptions,
) -> None:
    """Let paused profiles run again, as their schedules say; a missed run is caught up once."""


@command(export, "list", work="batches.list_batches")
def list_batches(
    *,
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    state: Annotated[
        BatchState | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    bursar_transaction_id: Annotated[
        str | None,
        typer.Option("--line", help="The batch of a bursar transaction id; with --institution."),
    ] = None,
    fine: Annotated[
        str | None, typer.Option("--fine", help="The batches of a fine_id; with --institution.")
    ] = None,
    options: ListOptions,
) -> None:
    """Batches, newest first. Published: the broker has it; then what the bursar answered.

    Sealed: it waits for the broker. Quarantined: the broker refused it, see `quarantined list`.
    """


@command(export, "show", work="batches.show_batch")
def show_batch(
    *,
    profile: RequiredProfileOption,
    batch: BatchOption,
    institution: Annotated[
        str | None,
        typer.Option("--institution", help="Its id, where several have had such a profile."),
    ] = None,
    options: ShowOptions,
) -> None:
    """One batch, its lines, and what became of each."""


@command(export, "verify", work="verify.verify_files")
def verify_files(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER",
            exists=True,
            help="The XML of batches; of a folder, every XML and every manifest.",
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(help="Of one file: its manifest; manifests/<name>.json beside it if absent."),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Of one file: the XML of the batch before, too."
        ),
    ] = None,
) -> None:
    """Check files against their manifests; needs no database and no settings.

    Of several, also the chain: each profile's numbers without a gap, each hash on the one before.
    """
