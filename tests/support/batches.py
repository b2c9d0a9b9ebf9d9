"""Batches without a database: how a run is cut into batches, and the manifest of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

from service.core.terms import Terms
from service.core.words import Mode, ProfileCode
from service.export.batch import Batch, Limits, SelectedFine, Totals, fitting
from service.export.manifest import Manifest, manifest_of
from service.export.run import OpenRun
from service.export.selection import Exclusion

SEALED_AT = datetime(2026, 9, 12, 19, 31, tzinfo=UTC)


def cut(run: Sequence[SelectedFine], limits: Limits) -> Iterator[tuple[SelectedFine, ...]]:
    """The batches of a run, whose fines come in order: each patron is offered to the open batch."""
    batch: list[SelectedFine] = []
    for _, group in groupby(run, key=lambda fine: fine.position[0]):
        fines: Sequence[SelectedFine] = list(group)
        while fines:
            size_bytes = sum(fine.size_bytes for fine in batch)
            part = fitting(len(batch), size_bytes, fines, limits)
            batch += part
            fines = fines[len(part) :]
            if fines:
                yield tuple(batch)
                batch = []
    if batch:
        yield tuple(batch)


def manifest_in_run(
    batch: Batch,
    document: bytes,
    totals: Totals,
    *,
    run_id: str = "run-1",
    part: int = 1,
    is_last: bool = True,
    mode: Mode = Mode.EXPORT_IMPORT,
    sealed_at: datetime = SEALED_AT,
    previous_sha256: str | None = None,
    held_back: Mapping[Exclusion, int] | None = None,
) -> Manifest:
    """The manifest of a batch as this part of a run."""
    key = (batch.institution_id, batch.profile)
    return manifest_of(
        batch,
        document,
        totals,
        OpenRun(*key, run_id, batch.cutoff, ("", ""), 0, part, held_back or {}),
        terms=Terms(ProfileCode(batch.profile), mode),
        is_last=is_last,
        sealed_at=sealed_at,
        previous_sha256=None if previous_sha256 is None else bytes.fromhex(previous_sha256),
    )
