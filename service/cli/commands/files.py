"""`deliver` and `import`: batches are delivered as files to the bursar, and the bursar's files are
imported.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...core.words import KnownLines
from .declare import command
from .options import JsonOption, OperatorOption

application = typer.Typer()


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Which batches are delivered, in which form, and how far the delivery has come."""

    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Code of a profile, several times for several; else all."),
    ] = None
    file_format: Annotated[
        str, typer.Option("--format", help="Format of the files: xml, csv or fixed.")
    ] = "xml"
    layout: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="TOML file with the layout of `fixed`."),
    ] = None
    state: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File that keeps how far the delivery is; in the folder unless told. "
            "Required with SFTP.",
        ),
    ] = None
    group: Annotated[
        str,
        typer.Option(help="Consumer group of this delivery; each target needs a group of its own."),
    ] = "bursar-deliver"
    continue_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROFILE=BATCH",
            help="Continue with this batch of a profile although earlier batches are missing.",
        ),
    ] = None
    change_options: Annotated[
        bool,
        typer.Option(
            "--change-options",
            help="Go on with other profiles, or another format, than the delivery was begun with. "
            "Batches of a profile that is new to it are delivered from the first one on.",
        ),
    ] = False


@command(application, "deliver", work="deliver.deliver")
def deliver(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A folder, or sftp://user@host:port/folder; must exist."
        ),
    ],
    options: DeliveryOptions,
    once: Annotated[
        bool, typer.Option("--once", help="Deliver what the topics hold now, show it, and end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver sealed batches, each with its manifest in `manifests/`, until SIGTERM.

    The command reads the topics and needs no database. A batch is not delivered if its hash or
    totals differ from those of its manifest, or if its number leaves a gap. Its profile then stands
    still until the batch is published again (`export resend`); other profiles continue. The state
    keeps the profiles and the format with which the delivery was begun, and the command refuses to
    continue with others.
    """


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an import may do, what a person has accepted, and how it is shown."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each line would do; change nothing.")
    ] = False
    all_or_nothing: Annotated[
        bool,
        typer.Option(
            "--all-or-nothing",
            help="Publish nothing unless every line passes and none pays more than is outstanding.",
        ),
    ] = False
    allow_overpaid: Annotated[
        bool,
        typer.Option(
            "--allow-overpaid",
            help="With --all-or-nothing: lines may pay more than is outstanding.",
        ),
    ] = False
    accept_source: Annotated[
        bool,
        typer.Option(
            "--accept-source",
            help="The source is meant, although the file was imported under another one, or a "
            "known source differs from it only in upper and lower case. Requires --reason.",
        ),
    ] = False
    known_lines: Annotated[
        KnownLines,
        typer.Option(
            "--known-lines",
            help="Lines that another file has brought and that could be paid once more: refuse the "
            "file, skip them as the same payments, or pay them as further ones. "
            "The last two require --reason.",
        ),
    ] = KnownLines.REFUSE
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Why --accept-source or --known-lines is right; kept."),
    ] = None
    operator: OperatorOption = None
    wait_seconds: Annotated[
        int,
        typer.Option(
            min=0, max=86_400, help="Seconds to wait for the running service to decide the lines."
        ),
    ] = 120
    as_json: JsonOption = False


@command(application, "import", work="import_file.import_file")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bursar XML.")],
    profile: Annotated[str, typer.Option(help="Code of the profile that exported it.")],
    options: ImportOptions,
    source: Annotated[
        str | None,
        typer.Option(help="Code of the paying system; by default the one of the profile."),
    ] = None,
) -> None:
    """Import a bursar XML that says what was paid or taken back.

    Importing the same file again changes nothing; if a file repeats lines of an earlier file, only
    its new lines count. A line pays its whole sum. If that is more than what is outstanding, for
    example because the payment was also published as an event, the excess becomes a credit if the
    profile says so; `--dry-run` shows such lines. A file without lines imports nothing, and the
    command says so. Exit code 1: the file was refused, or a line did not pass. Exit code 4: the
    import ended before every line was published and decided; import the same file again. With
    `--json` the last line has `complete` and the totals.
    """
