"""Compares the file of a batch with its manifest, as any consumer of their topics can. Pure.

The comparison names every difference and needs no database. Totals are computed from the file's
bytes; amounts are texts as in the manifest, and are compared exactly.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..core.money import InvalidCurrency, decimals, format_minor
from .batch import Totals
from .manifest import members_of_totals
from .xml.read import ReadBatch, read, totals_of_read
from .xml.stream import UnreadableDocument

Manifest = Mapping[str, object]  # the members of the JSON


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between a file and its manifest; `field` is the member of the manifest that
    differs.

    `element_number` is the number of the element `userFineFee` in the file, counted from 1; it is
    None if the whole batch differs.
    """

    field: str
    text: str
    element_number: int | None = None


def verify(
    document: bytes, manifest: Manifest, previous_sha256: str | None = None
) -> list[Difference]:
    """Returns the differences between a file and its manifest, none if the batch is sound.

    `previous_sha256` is the hash of the batch before, if the caller knows it.
    """
    return read_verified(document, manifest, previous_sha256)[1]


def read_verified(
    document: bytes, manifest: Manifest, previous_sha256: str | None = None
) -> tuple[ReadBatch | None, list[Difference]]:
    """Returns the batch that the file contains (None if it cannot be read), and the differences
    that `verify` returns.
    """
    differences = list(_different_bytes(document, manifest, previous_sha256))
    try:
        batch = read(document)
    except UnreadableDocument as problem:
        return None, [*differences, Difference("document", str(problem))]
    currency = str(manifest.get("currency"))
    try:
        decimals(currency)
    except InvalidCurrency as problem:
        return batch, [*differences, Difference("currency", str(problem))]
    if batch.export_number != manifest.get("export_number"):
        differences.append(Difference("export_number", "the file's is another than the manifest's"))
    differences += different_totals(totals_of_read(batch), manifest, currency)
    differences += _different_lines(batch, manifest, currency)
    return batch, differences


def _different_bytes(
    document: bytes, manifest: Manifest, previous_sha256: str | None
) -> Iterator[Difference]:
    if sha256(document).hexdigest() != manifest.get("sha256"):
        yield Difference("sha256", "the file is not the one that was sealed")
    if len(document) != manifest.get("size_bytes"):
        yield Difference("size_bytes", f"the file has {len(document)} bytes")
    expected = manifest.get("previous_sha256")
    if previous_sha256 is not None and previous_sha256 != expected:
        yield Difference("previous_sha256", "the batch before is another one")
    elif manifest.get("batch_number") == 1 and expected is not None:
        yield Difference("previous_sha256", "before batch 1 there is none")


def different_totals(totals: Totals, manifest: Manifest, currency: str) -> list[Difference]:
    """Returns a difference for each total of a file that is not the manifest's."""
    text = "the file's is another than the manifest's"
    members = members_of_totals(totals, currency).items()
    return [Difference(field, text) for field, value in members if manifest.get(field) != value]


def listed_lines(manifest: Manifest) -> list[Mapping[str, object]]:
    """Returns the entries of the manifest's `lines`, without entries that are not JSON objects."""
    listed = manifest.get("lines")
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _different_lines(batch: ReadBatch, manifest: Manifest, currency: str) -> Iterator[Difference]:
    listed = listed_lines(manifest)
    amounts = {str(entry.get("bursar_transaction_id")): entry.get("amount") for entry in listed}
    in_file: set[str] = set()
    for fine in (line.paid for patron in batch.patrons for line in patron.lines):
        bursar_id = fine.bursar_transaction_id
        if bursar_id not in amounts:
            yield Difference("bursar_transaction_id", "is not in the manifest", fine.n)
        elif bursar_id in in_file:
            yield Difference("bursar_transaction_id", "stands twice", fine.n)
        elif fine.currency != currency:
            yield Difference("currency", "is not the manifest's", fine.n)
        elif format_minor(fine.amount, currency) != amounts[bursar_id]:
            yield Difference("sum", "is not the manifest's", fine.n)
        in_file.add(bursar_id)
    if len(amounts) < len(listed):
        yield Difference("lines", "one stands twice in the manifest")
    if missing := len(amounts.keys() - in_file):
        yield Difference("lines", f"{missing} of the manifest's are not in the file")


def chains(manifests: Sequence[Manifest]) -> list[Difference]:
    """Applies `chain_breaks` to the manifests of each profile, which may be given in any order."""
    differences: list[Difference] = []
    numbered: defaultdict[str, dict[int, Manifest]] = defaultdict(dict)
    for manifest in manifests:
        number, profile = manifest.get("batch_number"), manifest.get("profile")
        if not isinstance(number, int) or not isinstance(profile, str):
            differences.append(Difference("batch_number, profile", "a manifest is without them"))
        elif number in numbered[profile]:
            text = f"batch {number} of {profile} is there twice"
            differences.append(Difference("batch_number", text))
        else:
            numbered[profile][number] = manifest
    for profile, by_number in sorted(numbered.items()):
        breaks = chain_breaks([by_number[number] for number in sorted(by_number)])
        differences += [Difference(f"{profile}: {each.field}", each.text) for each in breaks]
    return differences


def chain_breaks(manifests: Sequence[Manifest]) -> list[Difference]:
    """Returns a difference wherever a batch number is missing or a manifest does not name the hash
    of the batch before.

    The manifests are those of one profile, sorted by batch number.
    """
    breaks = []
    for before, after in itertools.pairwise(manifests):
        number, following = before.get("batch_number"), after.get("batch_number")
        if not isinstance(number, int) or following != number + 1:
            breaks.append(Difference("batch_number", f"batch {number} is followed by {following}"))
        elif after.get("previous_sha256") != before.get("sha256"):
            breaks.append(Difference("previous_sha256", f"batch {following} follows another one"))
    return breaks
