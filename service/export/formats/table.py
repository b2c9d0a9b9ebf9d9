"""A batch as rows of texts, from which every format except the XML is printed. Pure.

The rows are made of the XML and its manifest alone, so a program that reads the two topics needs no
database. Amounts are in signed minor units of the manifest's currency.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..verify import Manifest, listed_lines, read_verified
from ..xml.read import ReadLine, ReadPatron

# Fields of the whole batch, the same in each of its rows.
BATCH_FIELDS: Final = ("institution_id", "profile", "batch_number", "export_number", "currency")
LINE_FIELDS: Final = (
    "bursar_transaction_id",
    "fine_id",
    "type",
    "amount",
    "status",
    "match_type",
    "match_value",
    "patron_name",
    "library_id",
    "library_code",
    "last_transaction",
    "comment",
    "credit_of_bursar_transaction_id",
    "credit_of_type",
    "item_title",
    "item_call_number",
    "item_library",
    "item_location",
    "item_internal_location",
    "item_due_date",
    "item_barcode",
)
TEXT_FIELDS: Final = tuple(field for field in LINE_FIELDS if field != "amount")
_REF = re.compile(r"(?:.* )?ref ([1-9][0-9]{0,19}) (.+)", re.ASCII | re.DOTALL)


class NotPrintable(ValueError):
    """A batch that a format must not print. The text has the field and the rule, never a value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One exported fine: its amount, and the other fields of LINE_FIELDS as texts.

    A field for which the batch has no value is an empty text.
    """

    amount: int
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A batch that agrees with its manifest; `batch` has the texts of BATCH_FIELDS."""

    document: bytes
    file_name: str
    cutoff: str
    batch: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def currency(self) -> str:
        """Returns the currency of all amounts of the batch."""
        return self.batch["currency"]


def table_of(document: bytes, manifest: Manifest) -> Table:
    """Returns the rows of a batch in the order of the XML.

    Raises NotPrintable if the XML differs from the manifest.
    """
    batch, differences = read_verified(document, manifest)
    if batch is None or differences:
        fields = ", ".join(sorted({each.field for each in differences}))
        raise NotPrintable(f"{fields}: the batch differs from its manifest")
    listed = {str(entry.get("bursar_transaction_id")): entry for entry in listed_lines(manifest)}
    return Table(
        document=document,
        file_name=str(manifest.get("file_name")),
        cutoff=str(manifest.get("cutoff")),
        batch={field: str(manifest.get(field)) for field in BATCH_FIELDS},
        rows=tuple(
            _row(patron, fine, listed[fine.paid.bursar_transaction_id])
            for patron in batch.patrons
            for fine in patron.lines
        ),
    )


def _row(patron: ReadPatron, fine: ReadLine, listed: Mapping[str, object]) -> Row:
    credit_of, credit_of_type = _credit_ref(fine)
    texts = {
        **fine.texts,
        "bursar_transaction_id": fine.paid.bursar_transaction_id,
        "fine_id": str(listed.get("fine_id")),
        "status": str(listed.get("status")),
        "match_type": patron.match_type,
        "match_value": patron.match_value,
        "patron_name": patron.name,
        "credit_of_bursar_transaction_id": credit_of,
        "credit_of_type": credit_of_type,
    }
    return Row(fine.paid.amount, {name: texts[name] or "" for name in TEXT_FIELDS})


def _credit_ref(fine: ReadLine) -> tuple[str, str]:
    """The id and type of the line that a credit refers to, from the end of its comment.

    docs/bursar-xml.md describes the comment. Both are empty if there is no such line.
    """
    match = _REF.fullmatch(fine.texts["comment"] or "") if fine.paid.amount < 0 else None
    return (match[1], match[2]) if match else ("", "")
