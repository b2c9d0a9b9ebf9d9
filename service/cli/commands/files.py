"""Declares the commands `deliver`, which writes batches as files for the bursar, and `import`,
which reads files that come from the bursar.
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
    """Options of `deliver`: of which profiles batches are delivered, in which file format, and in
    which file the progress is kept.
    """

    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            help="Deliver only batches of the profile with this code; may be given several "
            "times. Without it, batches of all profiles are delivered.",
        ),
    ] = None
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Format of the delivered files: xml, csv, or fixed (columns of fixed width).",
        ),
    ] = "xml"
    layout: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="TOML file that describes the columns of the format `fixed`.",
        ),
    ] = None
    state: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Local file in which the delivery stores how far it has come; by "
            "default a hidden file in the folder TARGET. Required with SFTP.",
        ),
    ] = None
    group: Annotated[
        str,
        typer.Option(
            help="Kafka consumer group of this delivery; each target needs a group of its own."
        ),
    ] = "bursar-deliver"
    continue_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROFILE=BATCH",
            help="Continue the delivery of the profile PROFILE with its batch number "
            "BATCH, although earlier batches of the profile are missing.",
        ),
    ] = None
    change_options: Annotated[
        bool,
        typer.Option(
            "--change-options",
            help="Continue a delivery although --profile or --format differ from those "
            "with which it was begun. Batches of a profile that is added are "
            "delivered from the profile's first batch on.",
        ),
    ] = False


@command(application, "deliver", work="deliver.deliver")
def deliver(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Folder that the files are written into, as a path or as "
            "sftp://user@host:port/folder; it must exist.",
        ),
    ],
    options: DeliveryOptions,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Deliver the batches that are in the Kafka topics now, list them, and end "
            "instead of waiting for further batches.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write published batches as files into the folder TARGET, each with its manifest in the
    subfolder `manifests/`, until SIGTERM.

    The command reads the batches from the Kafka topics and needs no database. A batch is not
    delivered if its hash or totals differ from those in its manifest, or if a batch of the profile
    with a lower number is missing. When a batch cannot be delivered, the delivery of its profile
    stops until the batch is published again (`export resend`); the delivery of other profiles
    continues. The file of --state keeps the profiles and the format with which the delivery was
    begun; the command refuses to continue with others, unless --change-options is given.
    """


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of `import`: what the import may do, which doubts about the file the operator has
    accepted, and how the result is printed.
    """

    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what an import of each line of the file would do, and change nothing.",
        ),
    ] = False
    all_or_nothing: Annotated[
        bool,
        typer.Option(
            "--all-or-nothing",
            help="Import either the whole file or nothing: nothing if a line cannot be "
            "used, or pays more than its fine still owes.",
        ),
    ] = False
    allow_overpaid: Annotated[
        bool,
        typer.Option(
            "--allow-overpaid",
            help="With --all-or-nothing: import the file even if lines pay more than "
            "their fines still owe.",
        ),
    ] = False
    accept_source: Annotated[
        bool,
        typer.Option(
            "--accept-source",
            help="Confirm that --source is right, although the same file was imported "
            "under another source before, or a known source differs from it only "
            "in upper and lower case. Requires --reason.",
        ),
    ] = False
    known_lines: Annotated[
        KnownLines,
        typer.Option(
            "--known-lines",
            help="What to do with lines that an earlier, different file has had, too. "
            "refuse: refuse the whole file if such a line could also be a second "
            "payment. skip: treat all such lines as the same payments, and skip "
            "them. pay: treat all of them as further payments, even if the fine "
            "owes nothing any more. skip and pay require --reason.",
        ),
    ] = KnownLines.REFUSE
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            help="Why --accept-source or --known-lines is right for this file; the text is stored.",
        ),
    ] = None
    operator: OperatorOption = None
    wait_seconds: Annotated[
        int,
        typer.Option(
            min=0,
            max=86_400,
            help="How many seconds the command waits until the running service has "
            "applied or rejected all published lines.",
        ),
    ] = 120
    as_json: JsonOption = False


@command(application, "import", work="import_file.import_file")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bursar XML.")],
    profile: Annotated[
        str,
        typer.Option(
            help="Code of the profile that exported the fines about which the file reports."
        ),
    ],
    options: ImportOptions,
    source: Annotated[
        str | None,
        typer.Option(
            help="Code of the system that reports the payments (their source); by default "
            "the code of the profile."
        ),
    ] = None,
) -> None:
    """Import an XML file in which the bursar reports payments and reversals of payments.

    If the same file is imported again, nothing changes; if a file repeats lines of an earlier,
    different file, only its new lines are imported (see `--known-lines`). Each line of the file
    counts as a payment of the line's whole sum. If a line pays more than its fine still owes, for
    example because the same payment was also published to Kafka as an event, the excess becomes a
    credit if the profile allows it; `--dry-run` shows such lines. If the file has no lines, the
    command imports nothing and says so. Exit code 1 means that the file was refused as a whole, or
    that at least one of its lines could not be used. Exit code 4 means that the command ended
    before all lines were published to Kafka and applied or rejected by the service; import the same
    file again to complete it. With `--json`, the last line of the output says in its member
    `complete` whether the import has ended, and has the totals of the file.
    """
