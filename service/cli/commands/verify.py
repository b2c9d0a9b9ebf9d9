"""`bursar-bridge export verify`: files against their manifests, on the bursar's side."""

from pathlib import Path
from typing import Annotated

import typer


def show_verify(
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
    from .. import verify

    verify.show_verify(paths, manifest, previous)
