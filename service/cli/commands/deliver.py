"""`bursar-bridge deliver`: sealed batches from their topics into a folder or an SFTP server."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import JsonOption

TargetArgument = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="A folder, or sftp://user@host:port/folder; must exist."),
]
ProfileOption = Annotated[
    list[str] | None,
    typer.Option("--profile", help="Code of a profile, several times for several; else all."),
]
FormatOption = Annotated[str, typer.Option("--format", help="Of the files: xml, csv, fixed.")]
LayoutOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="TOML file with the layout of `fixed`."),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        help="File that keeps how far the delivery is; in the folder unless told. "
        "Required with SFTP.",
    ),
]
GroupOption = Annotated[
    str, typer.Option(help="Consumer group of this delivery: one of its own per target.")
]
ContinueOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROFILE=BATCH",
        help="Go on with this batch of a profile, though those before it are missing.",
    ),
]
ChangeOption = Annotated[
    bool,
    typer.Option(
        "--change-options",
        help="Go on with other profiles, or another format, than the delivery was begun with. "
        "Batches of a profile that is new to it are delivered from the first one on.",
    ),
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="Deliver what the topics hold now, show it, and end.")
]


def deliver(
    target: TargetArgument,
    profile: ProfileOption = None,
    form: FormatOption = "xml",
    layout: LayoutOption = None,
    state: StateOption = None,
    group: GroupOption = "bursar-deliver",
    continue_at: ContinueOption = None,
    change_options: ChangeOption = False,
    once: OnceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver sealed batches, each with its manifest in `manifests/`, until SIGTERM.

    Works from the topics alone, without the database. A batch whose hash or totals are not its
    manifest's, or whose number leaves a gap, is not passed on: its profile stands still until the
    batch is published again (`export resend`), the others go on. The state keeps the profiles and
    the format that the delivery was begun with, and others are refused.
    """
    from .. import deliver

    deliver.deliver(
        target, profile, form, layout, state, group, continue_at, change_options, once, as_json
    )
