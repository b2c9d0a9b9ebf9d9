"""`bursar-bridge export`: run profiles now, see what a run would do; list, send, check batches."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import JsonOption, WideOption
from . import batches, pausing, verify

application = typer.Typer(
    help="Run profiles now, pause and resume them; preview, list, show, send again and check "
    "batches.",
    no_args_is_help=True,
)
Code = Annotated[str, typer.Option("--profile", help="Code of a profile.")]


@application.command("run")
def run(
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Code of a profile, several times for several."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every profile of the file.")] = False,
    even_if_paused: Annotated[
        bool, typer.Option("--even-if-paused", help="Run paused profiles, too, this once.")
    ] = False,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run profiles now, whatever their schedule, and show the batches.

    The running service publishes the batches; a run that is open already is gone on with. A profile
    whose run cannot go on stops no other one; its open run waits for the next attempt. Exit code 5:
    another session is the only cause, so that the command can be tried again later. A paused
    profile is not run unless --even-if-paused says so.
    """
    from .. import export

    export.run(profile or [], every, even_if_paused, wide, as_json)


@application.command("preview")
def show_preview(
    profile: Code,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder to write the files into, their manifests into manifests/ there; "
            "not the folder a bursar loads from.",
        ),
    ] = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """What a run would seal now: the same XML and totals, numbers included; nothing is changed.

    Where the run would fail, the fines on which it would fail are named, behind the batches that it
    would seal before.
    """
    from .. import export

    export.show_preview(profile, out, wide, as_json)


@application.command("resend")
def resend(
    profile: Code,
    batch: Annotated[int, typer.Option(min=1, help="Number of the batch.")],
    institution: Annotated[
        str | None,
        typer.Option(help="Its id, where no profile of that code is configured any more."),
    ] = None,
) -> None:
    """Publish a sealed batch and its manifest again: the stored bytes, with the same ce_id."""
    from .. import export

    export.resend(profile, batch, institution)


application.command("pause")(pausing.pause)
application.command("resume")(pausing.resume)
application.command("list")(batches.list_batches)
application.command("show")(batches.show_batch)
application.command("verify")(verify.show_verify)
