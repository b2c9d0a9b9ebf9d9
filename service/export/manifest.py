"""Makes the manifest of a batch, whose control totals are read from the XML bytes that are sent.

Pure. Amounts are in signed minor units of the batch's currency; times are aware datetimes in UTC
(contracts.md, 6).
"""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from hashlib import sha256

from ..core.frozen import dataclass
from ..core.money import format_minor
from ..core.terms import Terms
from ..core.words import Status
from .batch import Batch, Sum, Totals, file_name, totals_of_batch
from .run import OpenRun
from .selection import Exclusion


class TotalsDiffer(ValueError):
    """The printed bytes have other totals than the batch, so the batch must not be sealed."""

    def __init__(self, fields: Iterable[str]) -> None:
        super().__init__(f"the rendered bytes differ from the batch in {', '.join(fields)}")


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """What a manifest says of one exported fine; `status` is the fine's status after the export."""

    bursar_transaction_id: str
    fine_id: str
    amount: int
    status: Status


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a batch; the fields have the names of the members of its JSON (contracts.md,
    6).

    `terms` are the profile's terms, which the batch's fines keep from this export on. `part` is the
    batch's number within its run, from 1, and `last` says that the run makes no further batch. Only
    the last batch of a run has `held_back`: how many fines the run has held back, by reason.
    """

    institution_id: str
    profile: str
    terms: Terms
    batch_number: int
    export_number: int
    run_id: str
    part: int
    last: bool
    cutoff: datetime
    sealed_at: datetime
    currency: str
    totals: Totals
    size_bytes: int
    sha256: str
    previous_sha256: str | None
    file_name: str
    held_back: tuple[tuple[Exclusion, int], ...]
    lines: tuple[ManifestLine, ...]

    @property
    def count(self) -> int:
        """Returns the number of exported fines in the batch."""
        return self.totals.all.count

    @property
    def total(self) -> int:
        """Returns the signed sum of all amounts in minor units."""
        return self.totals.all.total


def manifest_of(
    batch: Batch,
    document: bytes,
    totals: Totals,
    run: OpenRun,
    *,
    terms: Terms,
    is_last: bool,
    sealed_at: datetime,
    previous_sha256: bytes | None,
) -> Manifest:
    """Makes the manifest of a printed batch; `totals` were read from its bytes.

    `run` is the run as it is after this batch; its counts of fines that were held back are put into
    the manifest of the run's last batch. Raises TotalsDiffer if `totals` are not those of `batch`.
    """
    if differing := _differing(totals_of_batch(batch), totals):
        raise TotalsDiffer(differing)
    return Manifest(
        institution_id=batch.institution_id,
        profile=batch.profile,
        terms=terms,
        batch_number=batch.batch_number,
        export_number=batch.export_number,
        run_id=run.run_id,
        part=run.parts,
        last=is_last,
        cutoff=batch.cutoff,
        sealed_at=sealed_at,
        currency=batch.currency,
        totals=totals,
        size_bytes=len(document),
        sha256=sha256(document).hexdigest(),
        previous_sha256=None if previous_sha256 is None else previous_sha256.hex(),
        file_name=file_name(batch.profile, batch.export_number, batch.cutoff),
        held_back=_held_back(run) if is_last else (),
        lines=tuple(
            ManifestLine(line.bursar_transaction_id, line.fine_id, line.amount, line.status)
            for line in batch.lines
        ),
    )


def members_of_totals(totals: Totals, currency: str) -> dict[str, object]:
    """Returns the totals as members of the manifest's JSON; amounts are texts in major units."""

    def members(sums: Sum) -> dict[str, object]:
        return {"count": sums.count, "total": format_minor(sums.total, currency)}

    return {
        **members(totals.all),
        "debits": members(totals.debits),
        "credits": members(totals.credits),
        "by_type": [{"code": code, **members(sums)} for code, sums in totals.by_type],
        "by_owner": [{"code": code, **members(sums)} for code, sums in totals.by_owner],
        "patrons": totals.patrons,
    }


def members_of_terms(terms: Terms, currency: str) -> dict[str, object]:
    """Returns the terms as members of the manifest's JSON, under the names of the fields of Terms.

    The terms' profile is left out, because the manifest names it anyway. A recovery restores the
    terms of adopted fines from these members, so every field of Terms except the profile must have
    one; a test checks that.
    """
    maximum = terms.overpayment_max
    return {
        "mode": terms.mode.value,
        "lost": terms.lost.value,
        "lost_types": sorted(terms.lost_types),
        "close_paid_lost_loan": terms.close_paid_lost_loan,
        "overpayment": terms.overpayment.value,
        "overpayment_max": None if maximum is None else format_minor(maximum, currency),
        "refused": terms.refused.value,
        "library_payments": terms.library_payments.value,
        "import_credits": terms.import_credits.value,
        "labels": [{"kind": kind.value, "text": text} for kind, text in sorted(terms.labels)],
    }


def _differing(expected: Totals, totals: Totals) -> list[str]:
    return [
        "count or total" if field.name == "all" else field.name
        for field in fields(Totals)
        if getattr(expected, field.name) != getattr(totals, field.name)
    ]


def _held_back(run: OpenRun) -> tuple[tuple[Exclusion, int], ...]:
    """The reasons that occurred, in the order of their definition."""
    return tuple(
        (reason, count)
        for reason in Exclusion
        if reason.is_held_back and (count := run.held_back.get(reason, 0)) > 0
    )
