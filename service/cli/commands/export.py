"""Declares the commands `bursar-bridge export ...`: run and pause profiles; preview, list, send and
check batches.
"""

from pathlib import Path
from typing import Annotated

import typer

from ...core.words import BatchState
from .declare import command, group
from .options import (
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
    list[str] | None,
    typer.Option(
        "--profile", help="Code of a profile; give the option several times for several profiles."
    ),
]
BatchOption = Annotated[int, typer.Option("--batch", min=1, help="Number of the batch.")]


@command(export, "run", work="export.run")
def run(
    *,
    profile: ProfilesOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="Run every profile of the profiles file.")
    ] = False,
    even_if_paused: Annotated[
        bool,
        typer.Option(
            "--even-if-paused",
            help="In this call, also run profiles that are paused; they stay paused.",
        ),
    ] = False,
    options: ShowOptions,
) -> None:
    """Run the export of profiles now, whatever their schedules say, and show the batches that were
    sealed.

    The command stores the batches in the database, and the running service publishes them to Kafka.
    If an earlier run of a profile has not ended, because it failed or was interrupted, the command
    continues that run. If the run of one profile fails, the command still runs the other profiles,
    and the next run of the failed profile continues the failed one. Exit code 5 means that runs
    failed only because other database sessions held locks, so the same command may succeed later. A
    paused profile is run only with --even-if-paused.
    """


@command(export, "preview", work="export.show_preview")
def show_preview(
    *,
    profile: RequiredProfileOption,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder into which the command writes the XML files, and their "
            "manifests into its subfolder manifests/; never name the folder from "
            "which the bursar loads batches.",
        ),
    ] = None,
    options: ShowOptions,
) -> None:
    """Show the batches that a run of the profile would seal now, with the numbers that they would
    get; with --out also write their XML. The database is not changed.

    If a run of the profile would fail, the command shows the batches that the run would seal before
    the failure, and then names the fines that would cause it.
    """


@command(export, "resend", work="export.resend")
def resend(
    profile: RequiredProfileOption,
    batch: BatchOption,
    institution: Annotated[
        str | None,
        typer.Option(
            help="Id of the institution of the batch; needed only if the profiles file "
            "has no profile with this code any more."
        ),
    ] = None,
) -> None:
    """Publish a sealed batch and its manifest to Kafka once more, with the same bytes and the same
    ce_id as before.
    """


@command(export, "pause", work="pausing.pause")
def pause(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Pause every profile of the profiles file, or of --institution in it.",
        ),
    ] = False,
    decision: DecisionOptions,
) -> None:
    """Pause profiles: until `export resume` neither their schedule nor `export run` exports their
    fines.

    --all pauses every profile, with --institution every profile of that institution. If a batch of
    a profile is just being sealed, the command waits until it is sealed.
    """


@command(export, "resume", work="pausing.resume")
def resume(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Resume every paused profile, or every one of --institution."),
    ] = False,
    decision: DecisionOptions,
) -> None:
    """Let paused profiles run again by their schedules; if runs were due during the pause, one run
    makes up for all of them.
    """


@command(export, "list", work="batches.list_batches")
def list_batches(
    *,
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    state: Annotated[
        BatchState | None, typer.Option("--state", help="List only batches in this state.")
    ] = None,
    bursar_transaction_id: Annotated[
        str | None,
        typer.Option(
            "--line",
            help="List only the batch whose line has this bursar transaction id; requires "
            "--institution.",
        ),
    ] = None,
    fine: Annotated[
        str | None,
        typer.Option(
            "--fine",
            help="List only the batches that exported the fine with this fine_id; requires "
            "--institution.",
        ),
    ] = None,
    options: ListOptions,
) -> None:
    """List all batches that were sealed, each with its state, the newest first.

    `sealed` means that the batch still waits to be sent to Kafka, `published` that the Kafka broker
    has stored it, and `quarantined` that the broker refused it (see `quarantined list`). The other
    states say how the bursar has answered: `accepted`, `partly_refused` or `refused`.
    """


@command(export, "show", work="batches.show_batch")
def show_batch(
    *,
    profile: RequiredProfileOption,
    batch: BatchOption,
    institution: Annotated[
        str | None,
        typer.Option(
            "--institution",
            help="Id of the institution of the batch; needed only if several "
            "institutions have had a profile with this code.",
        ),
    ] = None,
    options: ShowOptions,
) -> None:
    """Show one batch with its lines, one for each exported fine, and what became of each: open,
    settled, closed or refused.
    """


@command(export, "verify", work="verify.verify_files")
def verify_files(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER",
            exists=True,
            help="XML files of batches, or folders that hold XML files and their manifests.",
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="If a single file is checked: path of its manifest; by default "
            "manifests/<name>.json in the folder of the file."
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="If a single file is checked: the XML file of the profile's previous "
            "batch, to check that the manifest has its hash.",
        ),
    ] = None,
) -> None:
    """Check whether the XML files of batches match their manifests; the command needs no database
    and no settings.

    For several files, the command also checks that the batch numbers of each profile have no gap,
    and that each manifest names the SHA-256 hash of the profile's previous batch.
    """
