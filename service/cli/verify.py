"""The work of `bursar-bridge export verify`: compares the XML files of batches with their
manifests, on a machine of the bursar without a database.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import typer

from ..export.batch_file import MANIFESTS, manifest_path
from ..export.verify import Difference, chains, verify
from . import progress
from .errors import complain_of_each, usage_error
from .texts import counted

Manifest = Mapping[str, object]
# What the chain needs of a manifest: of a long one the lines are not kept.
KEPT = (
    "institution_id",
    "profile",
    "batch_number",
    "sha256",
    "previous_sha256",
    "count",
    "total",
    "currency",
)


def verify_files(paths: list[Path], manifest: Path | None, previous: Path | None) -> None:
    """Prints each difference between a file and its manifest on standard error; if there is one,
    ends the command with exit code 1. Needs no settings.
    """
    files, others = _files(paths)
    alone = len(paths) == 1 and paths[0].is_file()
    if not alone and (manifest is not None or previous is not None):
        raise usage_error("--manifest, --previous: only with one file")
    if not files:
        raise usage_error("FILE|FOLDER: no XML is there")
    differences: list[str] = []
    manifests: list[Manifest] = []
    with progress.steps() as bars:
        for file in bars.track(files, description="checking"):
            values = _manifest(manifest or manifest_path(file))
            if values is None and alone:
                raise usage_error("--manifest: must name the batch's manifest")
            place = "" if alone else f"{file.name}: "
            differences += [place + text for text in _differences(file, values, previous)]
            manifests += [] if values is None else [_needed(values)]
    links = [_needed(values) for values in map(_manifest, others) if values is not None]
    differences += map(_text, chains([*manifests, *links]))
    complain_of_each(differences)
    typer.echo(_sound(manifests, len(links), alone=alone))


def _differences(file: Path, values: Manifest | None, previous: Path | None) -> Iterator[str]:
    if values is None:
        return iter(["manifest: is not there, or is none"])
    before = None if previous is None else sha256(previous.read_bytes()).hexdigest()
    return map(_text, verify(file.read_bytes(), values, before))


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Each batch's file once, and manifests whose file is not there: loaded and cleared away."""
    files: dict[Path, None] = {}
    manifests: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files |= dict.fromkeys(sorted(path.glob("[!.]*.xml")))
            manifests |= dict.fromkeys(sorted((path / MANIFESTS).glob("[!.]*.json")))
        else:
            files[path] = None
    known = {manifest_path(file) for file in files}
    return list(files), [path for path in manifests if path not in known]


def _manifest(path: Path) -> Manifest | None:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _needed(manifest: Manifest) -> Manifest:
    return {name: manifest.get(name) for name in KEPT}


def _text(difference: Difference) -> str:
    number = difference.element_number
    place = "" if number is None else f"line {number}: "
    return f"{place}{difference.field}: {difference.text}"


def _sound(manifests: Sequence[Manifest], others: int, *, alone: bool) -> str:
    fines = sum(count for values in manifests if isinstance(count := values["count"], int))
    if alone:
        (values,) = manifests
        return f"sound: {counted(fines, 'fine')}, {values['total']} {values['currency']}"
    absent = f"; {others} more in the chain by their manifests alone" if others else ""
    return (
        f"sound: {counted(fines, 'fine')} in batches without a gap, files: {len(manifests)}{absent}"
    )
