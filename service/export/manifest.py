"""The manifest of a sealed batch: control totals, recomputed from the bytes that leave the house.

Pure. Amounts are signed minor units of the batch's currency, times aware UTC (contracts.md, 6).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from ..core.words import Mode, Status
from .batch import Batch, Sum, Totals, file_name, totals_of_batch
from .selection import Exclusion


class TotalsDiffer(ValueError):
    """The bytes do not hold what the batch holds: it must not be sealed."""

    def __init__(self, fields: Iterable[str]) -> None:
        super().__init__(f"the rendered bytes differ from the batch in {', '.join(fields)}")


@dataclass(frozen=True, slots=True)
class Run:
    """What a batch's run adds: `held_back` is the run's and belongs into its last batch."""

    run_id: str
    part: int
    last: bool
    mode: Mode
    sealed_at: datetime
    previous_sha256: str | None
    held_back: Mapping[Exclusion, int]


@dataclass(frozen=True, slots=True)
class ManifestLine:
    bursar_transaction_id: str
    fine_id: str
    amount: int
    status: Status


@dataclass(frozen=True, slots=True)
class Manifest:
    institution_id: str
    profile: str
    mode: Mode
    batch_number: int
    export_number: int
    run_id: str
    part: int
    last: bool
    cutoff: datetime
    sealed_at: datetime
    currency: str
    count: int
    total: int
    debits: Sum
    credits: Sum
    by_type: tuple[tuple[str, Sum], ...]
    by_owner: tuple[tuple[str, Sum], ...]
    patrons: int
    size_bytes: int
    sha256: str
    previous_sha256: str | None
    file_name: str
    held_back: tuple[tuple[Exclusion, int], ...]
    lines: tuple[ManifestLine, ...]


def manifest_of(batch: Batch, document: bytes, totals: Totals, run: Run) -> Manifest:
    """The manifest of `document`; `totals` are those read from it. Raises TotalsDiffer."""
    _compare(totals_of_batch(batch), totals)
    return Manifest(
        institution_id=batch.institution_id,
        profile=batch.profile,
        mode=run.mode,
        batch_number=batch.batch_number,
        export_number=batch.export_number,
        run_id=run.run_id,
        part=run.part,
        last=run.last,
        cutoff=batch.cutoff,
        sealed_at=run.sealed_at,
        currency=batch.currency,
        count=totals.all.count,
        total=totals.all.total,
        debits=totals.debits,
        credits=totals.credits,
        by_type=totals.by_type,
        by_owner=totals.by_owner,
        patrons=totals.patrons,
        size_bytes=len(document),
        sha256=sha256(document).hexdigest(),
        previous_sha256=run.previous_sha256,
        file_name=file_name(batch.profile, batch.export_number, batch.cutoff),
        held_back=_held_back(run),
        lines=tuple(
            ManifestLine(line.bursar_transaction_id, line.fine_id, line.amount, line.status)
            for line in batch.lines
        ),
    )


def _compare(expected: Totals, read: Totals) -> None:
    pairs = (
        ("count or total", expected.all, read.all),
        ("debits", expected.debits, read.debits),
        ("credits", expected.credits, read.credits),
        ("by_type", expected.by_type, read.by_type),
        ("by_owner", expected.by_owner, read.by_owner),
        ("patrons", expected.patrons, read.patrons),
    )
    differing = [name for name, held, found in pairs if held != found]
    if differing:
        raise TotalsDiffer(differing)


def _held_back(run: Run) -> tuple[tuple[Exclusion, int], ...]:
    """In the order of the reasons, those that occurred."""
    if not run.last:
        return ()
    counts = ((reason, run.held_back.get(reason, 0)) for reason in Exclusion if reason.is_held_back)
    return tuple((reason, count) for reason, count in counts if count > 0)
