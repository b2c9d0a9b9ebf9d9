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
        bool, typer.Option("--even-if-paused", help="Run paused profiles as well, this once.")
    ] = False,
    options: ShowOptions,
) -> None:
    """Run profiles now, independent of their schedules, and show the batches.

    The running service publishes the batches. If a run of the profile is open, the command
    continues it. If a run fails, the other profiles are still run, and the failed run stays open
    for the next attempt. Exit code 5 says that locks of another session are the only cause of
    failures, so that the command can be tried again later. A paused profile is run only with
    --even-if-paused.
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
    """Show what a run would seal now, with its XML and numbers; nothing is changed.

    If the run would fail, the fines that would cause the failure are named after the batches that
    the run would seal before it.
    """


@command(export, "resend", work="export.resend")
def resend(
    profile: RequiredProfileOption,
    batch: BatchOption,
    institution: Annotated[
        str | None,
        typer.Option(
            help="Id of the institution, if no profile of this code is configured any more."
        ),
    ] = None,
) -> None:
    """Publish a sealed batch and its manifest again: the same bytes and the same ce_id."""


@command(export, "pause", work="pausing.pause")
def pause(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    decision: DecisionOptions,
) -> None:
    """Stop the runs of profiles, by schedule and by `export run`, until `export resume`.

    --all stops every profile, with --institution every profile of that institution. The command
    waits for a batch that is being sealed.
    """


@command(export, "resume", work="pausing.resume")
def resume(
    *,
    profile: ProfilesOption = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    decision: DecisionOptions,
) -> None:
    """Let paused profiles run again; if scheduled runs were missed, one makes up for them."""


@command(export, "list", work="batches.list_batches")
def list_batches(
    *,
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    state: Annotated[
        BatchState | None, typer.Option("--state", help="Only records or batches in this state.")
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
    """List sealed batches with their states, the newest first.

    `sealed` means that the batch waits for the broker, `published` that the broker has it, and
    `quarantined` that the broker refused it (see `quarantined list`). The other states are the
    answers of the bursar.
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
            help="Id of the institution, if several institutions have had a profile of this code.",
        ),
    ] = None,
    options: ShowOptions,
) -> None:
    """Show a batch with its lines and what became of each line."""


@command(export, "verify", work="verify.verify_files")
def verify_files(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER",
            exists=True,
            help="XML files of batches, or folders with XML files and manifests.",
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="For one file: its manifest; by default manifests/<name>.json beside it."
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="For one file: the XML of the batch before it, to check the chain.",
        ),
    ] = None,
) -> None:
    """Check files against their manifests; needs no database and no settings.

    For several files the chain is checked too: the batch numbers of a profile have no gap, and each
    manifest names the hash of the batch before.
    """
