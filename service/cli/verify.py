"""`bursar-bridge export verify`: files against their manifests, on the bursar's side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import typer

from ..export.batch_file import MANIFESTS, manifest_path
from ..export.verify import Difference, chains, verify
from . import progress
from .errors import FAILED, complain
from .shown import misuse

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


def show_verify(paths: list[Path], manifest: Path | None, previous: Path | None) -> None:
    files, others = _found(paths)
    alone = len(paths) == 1 and paths[0].is_file()
    if not alone and (manifest is not None or previous is not None):
        raise misuse("--manifest, --previous: only with one file")
    if not files:
        raise misuse("FILE|FOLDER: no XML is there")
    checked = _Checked([], [])
    with progress.steps() as bars:
        for file in bars.track(files, description="checking"):
            told = _manifest(manifest or manifest_path(file))
            if told is None and alone:
                raise misuse("--manifest: must name the batch's manifest")
            before = None if previous is None else sha256(previous.read_bytes()).hexdigest()
            checked.add("" if alone else f"{file.name}: ", file.read_bytes(), told, before)
    links = [told for told in map(_manifest, others) if told is not None]
    broken = chains([*checked.manifests, *map(_kept, links)])
    checked.found.extend(map(_line, broken))
    for line in checked.found:
        complain(line)
    if checked.found:
        raise typer.Exit(FAILED)
    typer.echo(_sound(checked.manifests, len(links), alone=alone))


def _found(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
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
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found so far, as lines, and what is kept of the manifests."""

    found: list[str]
    manifests: list[Manifest]

    def add(self, place: str, document: bytes, told: Manifest | None, before: str | None) -> None:
        if told is None:
            self.found.append(f"{place}manifest: is not there, or is none")
            return
        self.found.extend(place + _line(one) for one in verify(document, told, before))
        self.manifests.append(_kept(told))


def _kept(told: Manifest) -> Manifest:
    return {name: told.get(name) for name in KEPT}


def _line(one: Difference) -> str:
    place = "" if one.line is None else f"line {one.line}: "
    return f"{place}{one.field}: {one.text}"


def _sound(manifests: Sequence[Manifest], others: int, *, alone: bool) -> str:
    if alone:
        (told,) = manifests
        return f"sound: {told['count']} fines, {told['total']} {told['currency']}"
    fines = sum(count for told in manifests if isinstance(count := told["count"], int))
    absent = f"; {others} more in the chain by their manifests alone" if others else ""
    return f"sound: {fines} fines in batches without a gap, files: {len(manifests)}{absent}"
