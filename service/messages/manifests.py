"""Reads manifests from the topic in which the service published them, to adopt batches that a
restored database does not know (contracts.md, 6).

The service's own manifests are read as strictly as records of others: if a required member is
missing, or the totals are not those of the lines, the batch is not adopted.
"""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..core.ledger import BatchKey
from ..core.money import InvalidAmount, InvalidCurrency, parse_sum
from ..core.terms import Terms
from ..core.words import (
    ImportCredits,
    Kind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
    Status,
)

Digits = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,19}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]


class UnreadableManifest(ValueError):
    """A record from which no batch can be adopted, because it is not a complete manifest; the text
    says why.
    """


class _Member(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PublishedLine(_Member):
    """An exported fine in a published manifest; `amount` is a text in major units."""

    bursar_transaction_id: Digits
    fine_id: Text
    amount: str
    status: Status


class _Label(_Member):
    kind: Kind
    text: Text


class _Terms(_Member):
    mode: Mode
    lost: LostRule
    lost_types: frozenset[str]
    close_paid_lost_loan: bool
    overpayment: Overpayment
    overpayment_max: str | None
    refused_rule: RefusedRule = Field(alias="refused")
    library_payments: LibraryPayments
    import_credits: ImportCredits
    labels: tuple[_Label, ...]


class _HeldBack(_Member):
    reason: Text
    count: int


class PublishedManifest(_Member):
    """A manifest as it was published in its topic. Amounts are texts in major units, and times are
    aware datetimes.
    """

    institution_id: Digits
    profile: Text
    batch_number: Annotated[int, Field(ge=1)]
    export_number: Digits
    run_id: Text
    part: Annotated[int, Field(ge=1)]
    last: bool
    cutoff: AwareDatetime
    sealed_at: AwareDatetime
    currency: Text
    count: int
    total: str
    sha256: Sha256
    previous_sha256: Sha256 | None
    file_name: Text
    published_terms: _Terms | None = Field(None, alias="terms")
    held_back: tuple[_HeldBack, ...]
    lines: tuple[PublishedLine, ...]

    @property
    def key(self) -> BatchKey:
        """Returns institution, profile and number of the batch."""
        return BatchKey(self.institution_id, self.profile, self.batch_number)

    @property
    def minor_total(self) -> int:
        """Returns the manifest's total of all fines in minor units."""
        return parse_sum(self.total, self.currency)

    def amounts(self) -> list[int]:
        """Returns the amounts of the exported fines in minor units, in the manifest's order."""
        return [parse_sum(line.amount, self.currency) for line in self.lines]

    def terms(self) -> Terms | None:
        """Returns the terms that the fines of the batch keep; None if the manifest lacks them, as
        manifests of releases up to 0.6.0 do.
        """
        published = self.published_terms
        if published is None:
            return None
        maximum = published.overpayment_max
        return Terms(
            profile=ProfileCode(self.profile),
            mode=published.mode,
            lost=published.lost,
            lost_types=published.lost_types,
            close_paid_lost_loan=published.close_paid_lost_loan,
            overpayment=published.overpayment,
            refused=published.refused_rule,
            labels=tuple((label.kind, label.text) for label in published.labels),
            overpayment_max=None if maximum is None else parse_sum(maximum, self.currency),
            library_payments=published.library_payments,
            import_credits=published.import_credits,
        )


def read_manifest(value: bytes | None) -> PublishedManifest:
    """Returns the manifest in the value of a Kafka record. Raises UnreadableManifest."""
    try:
        manifest = PublishedManifest.model_validate_json(value or b"")
        amounts, total = manifest.amounts(), manifest.minor_total
        manifest.terms()
    except ValidationError as problem:
        place = problem.errors(include_input=False, include_url=False, include_context=False)[0]
        member = ".".join(map(str, place["loc"])) or "value"
        raise UnreadableManifest(f"{member}: {place['type']}") from None
    except (InvalidAmount, InvalidCurrency) as problem:
        raise UnreadableManifest(f"an amount or the currency: {problem}") from None
    if (manifest.count, total) != (len(amounts), sum(amounts)):
        raise UnreadableManifest("count or total: is not that of the lines")
    if len({line.bursar_transaction_id for line in manifest.lines}) != len(amounts):
        raise UnreadableManifest("lines: a bursar_transaction_id occurs twice")
    return manifest
