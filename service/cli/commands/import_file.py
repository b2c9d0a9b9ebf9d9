"""`bursar-bridge import`: the bursar XML that came back, line by line, into the ledger."""

from pathlib import Path
from typing import Annotated

import typer

from ...core.words import KnownLines
from ..options import JsonOption, OperatorOption

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The bursar XML.")]
SourceOption = Annotated[
    str | None, typer.Option(help="The paying system's code; the profile's if absent.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what each line would do; change nothing.")
]
AllOrNothingOption = Annotated[
    bool,
    typer.Option(
        "--all-or-nothing",
        help="Publish nothing unless every line passes and none pays more than is outstanding.",
    ),
]
AllowOverpaidOption = Annotated[
    bool,
    typer.Option(
        "--allow-overpaid",
        help="With --all-or-nothing: lines may pay more than is outstanding.",
    ),
]
AcceptSourceOption = Annotated[
    bool,
    typer.Option(
        "--accept-source",
        help="The source is meant, although the file was imported under another one, or a known "
        "source differs from it only in upper and lower case. Requires --reason.",
    ),
]
KnownLinesOption = Annotated[
    KnownLines,
    typer.Option(
        "--known-lines",
        help="Lines that another file has brought and that could be paid once more: refuse the "
        "file, skip them as the same payments, or pay them as further ones. "
        "The last two require --reason.",
    ),
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", help="Why --accept-source or --known-lines is right; kept."),
]
WaitOption = Annotated[
    int,
    typer.Option(
        min=0, max=86_400, help="Seconds to wait for the running service to decide the lines."
    ),
]


def import_file(
    file: FileArgument,
    profile: Annotated[str, typer.Option(help="Code of the profile that exported it.")],
    source: SourceOption = None,
    dry_run: DryRunOption = False,
    all_or_nothing: AllOrNothingOption = False,
    allow_overpaid: AllowOverpaidOption = False,
    accept_source: AcceptSourceOption = False,
    known_lines: KnownLinesOption = KnownLines.REFUSE,
    reason: ReasonOption = None,
    operator: OperatorOption = None,
    wait_seconds: WaitOption = 120,
    as_json: JsonOption = False,
) -> None:
    """Import what the bursar says was paid or taken back.

    The same file twice does nothing; of a file with lines of an earlier one, only the new lines
    count. A line pays its whole sum: more than is outstanding, because it was published as a
    payment too, becomes a credit if the profile says so (`--dry-run` tells). A file without lines
    imports nothing, and says so. Exit code 1: the file was refused, or a line did not pass. Exit
    code 4: the import ended before every line was published and decided; import the same file
    again. With `--json` the last line has `complete` and the totals.
    """
    from .. import import_file

    import_file.import_file(
        file,
        profile,
        source,
        dry_run,
        all_or_nothing,
        allow_overpaid,
        accept_source,
        known_lines,
        reason,
        operator,
        wait_seconds,
        as_json,
    )
