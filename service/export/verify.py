"""A batch's file against its manifest, on the consumer's side: no database, every difference named.

Pure. Totals are read from the bytes; amounts are texts as in the manifest, exact to the unit.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..core.money import InvalidCurrency, decimals, format_minor
from .batch import Sum, Totals
from .xml.read import ReadBatch, read, totals_of_read
from .xml.stream import RefusedDocument

Manifest = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Difference:
    """`line` is the n-th userFineFee, None where the whole batch differs."""

    field: str
    text: str
    line: int | None = None


def verify(
    document: bytes, manifest: Manifest, previous_sha256: str | None = None
) -> list[Difference]:
    """What differs; nothing for a sound batch. `previous_sha256`: of the batch before, if known."""
    return read_verified(document, manifest, previous_sha256)[1]


def read_verified(
    document: bytes, manifest: Manifest, previous_sha256: str | None = None
) -> tuple[ReadBatch | None, list[Difference]]:
    """The batch that `document` holds, None if it cannot be read, and what `verify` returns."""
    found = list(_bytes(document, manifest, previous_sha256))
    try:
        batch = read(document)
    except RefusedDocument as problem:
        return None, [*found, Difference("document", str(problem))]
    currency = str(manifest.get("currency"))
    try:
        decimals(currency)
    except InvalidCurrency as problem:
        return batch, [*found, Difference("currency", str(problem))]
    if batch.export_number != manifest.get("export_number"):
        found.append(Difference("export_number", "the file's is another than the manifest's"))
    found += _totals(totals_of_read(batch), manifest, currency)
    found += _lines(batch, manifest, currency)
    return batch, found


def _bytes(
    document: bytes, manifest: Manifest, previous_sha256: str | None
) -> Iterator[Difference]:
    if sha256(document).hexdigest() != manifest.get("sha256"):
        yield Difference("sha256", "the file is not the one that was sealed")
    if len(document) != manifest.get("size_bytes"):
        yield Difference("size_bytes", f"the file has {len(document)} bytes")
    told = manifest.get("previous_sha256")
    if previous_sha256 is not None and previous_sha256 != told:
        yield Difference("previous_sha256", "the batch before is another one")
    elif manifest.get("batch_number") == 1 and told is not None:
        yield Difference("previous_sha256", "before batch 1 there is none")


def _totals(totals: Totals, manifest: Manifest, currency: str) -> Iterator[Difference]:
    expected = {
        "count": totals.all.count,
        "total": format_minor(totals.all.total, currency),
        "debits": _sum(totals.debits, currency),
        "credits": _sum(totals.credits, currency),
        "patrons": totals.patrons,
        "by_type": [{"code": code, **_sum(sums, currency)} for code, sums in totals.by_type],
        "by_owner": [{"code": code, **_sum(sums, currency)} for code, sums in totals.by_owner],
    }
    for field, value in expected.items():
        if manifest.get(field) != value:
            yield Difference(field, "the file's is another than the manifest's")


def _sum(sums: Sum, currency: str) -> dict[str, object]:
    return {"count": sums.count, "total": format_minor(sums.total, currency)}


def _lines(batch: ReadBatch, manifest: Manifest, currency: str) -> Iterator[Difference]:
    listed = manifest.get("lines")
    lines = [line for line in listed if isinstance(line, dict)] if isinstance(listed, list) else []
    known = {str(line.get("bursar_transaction_id")): line.get("amount") for line in lines}
    seen: set[str] = set()
    for line in (line.paid for patron in batch.patrons for line in patron.lines):
        name = line.bursar_transaction_id
        if name not in known:
            yield Difference("bursar_transaction_id", "is not in the manifest", line.n)
        elif name in seen:
            yield Difference("bursar_transaction_id", "stands twice", line.n)
        elif line.currency != currency:
            yield Difference("currency", "is not the manifest's", line.n)
        elif format_minor(line.amount, currency) != known[name]:
            yield Difference("sum", "is not the manifest's", line.n)
        seen.add(name)
    if len(known) < len(lines):
        yield Difference("lines", "one stands twice in the manifest")
    missing = len(known.keys() - seen)
    if missing:
        yield Difference("lines", f"{missing} of the manifest's are not in the file")


def chains(manifests: Sequence[Manifest]) -> list[Difference]:
    """What `chain_breaks` finds in each profile's manifests, in whatever order they come."""
    found: list[Difference] = []
    numbered: defaultdict[str, dict[int, Manifest]] = defaultdict(dict)
    for told in manifests:
        number, profile = told.get("batch_number"), told.get("profile")
        if not isinstance(number, int) or not isinstance(profile, str):
            found.append(Difference("batch_number, profile", "a manifest is without them"))
        elif number in numbered[profile]:
            found.append(Difference("batch_number", f"batch {number} of {profile} is there twice"))
        else:
            numbered[profile][number] = told
    for profile, own in sorted(numbered.items()):
        breaks = chain_breaks([own[number] for number in sorted(own)])
        found += [Difference(f"{profile}: {one.field}", one.text) for one in breaks]
    return found


def chain_breaks(manifests: Sequence[Manifest]) -> list[Difference]:
    """Numbers without gaps and each hash after the one before, for manifests in number order."""
    found = []
    for before, after in itertools.pairwise(manifests):
        number, following = before.get("batch_number"), after.get("batch_number")
        if not isinstance(number, int) or following != number + 1:
            found.append(Difference("batch_number", f"batch {number} is followed by {following}"))
        elif after.get("previous_sha256") != before.get("sha256"):
            found.append(Difference("previous_sha256", f"batch {following} follows another one"))
    return found
