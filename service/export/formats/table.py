"""A batch as rows of texts: what every format but the XML prints. Pure.

Made of the XML and its manifest alone, so a consumer of the topics needs no database. Amounts are
signed minor units of the manifest's currency.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ...core.money import format_minor
from ..verify import Manifest, read_verified
from ..xml.read import ReadLine, ReadPatron

# Of the whole batch, the same in each of its rows.
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
_REF = re.compile(r"(?:.* )?ref ([1-9][0-9]{0,19}) (.+)", re.ASCII | re.DOTALL)


class NotPrintable(ValueError):
    """A batch this format must not print. Names field and rule, never a value."""


@dataclass(frozen=True, slots=True)
class Row:
    """`texts` by LINE_FIELDS but `amount`; empty where the batch says nothing."""

    amount: int
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Control:
    """Count and total, all, debits and credits alone: what each format's bytes must add up to."""

    count: int
    total: int
    debits: tuple[int, int]
    credits: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Table:
    """A batch that was checked against its manifest. `batch` is by BATCH_FIELDS."""

    document: bytes
    file_name: str
    cutoff: str
    batch: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def currency(self) -> str:
        return self.batch["currency"]

    @property
    def control(self) -> Control:
        return control_of(row.amount for row in self.rows)


def table_of(document: bytes, manifest: Manifest) -> Table:
    """The rows in the XML's order. Raises NotPrintable where it is not what the manifest says."""
    batch, differences = read_verified(document, manifest)
    if batch is None or differences:
        fields = ", ".join(sorted({one.field for one in differences}))
        raise NotPrintable(f"{fields}: the batch differs from its manifest")
    known = _manifest_lines(manifest)
    return Table(
        document=document,
        file_name=str(manifest.get("file_name")),
        cutoff=str(manifest.get("cutoff")),
        batch={field: str(manifest.get(field)) for field in BATCH_FIELDS},
        rows=tuple(
            _row(patron, line, known[line.paid.bursar_transaction_id])
            for patron in batch.patrons
            for line in patron.lines
        ),
    )


def control_of(amounts: Iterable[int]) -> Control:
    listed = list(amounts)
    debits = [amount for amount in listed if amount > 0]
    credited = [amount for amount in listed if amount < 0]
    return Control(
        len(listed),
        sum(listed),
        (len(debits), sum(debits)),
        (len(credited), sum(credited)),
    )


def differing(control: Control, manifest: Manifest, currency: str) -> list[str]:
    """Names of the manifest's totals that these are not."""
    expected = {
        "count": control.count,
        "total": format_minor(control.total, currency),
        "debits": _sum(control.debits, currency),
        "credits": _sum(control.credits, currency),
    }
    return [name for name, value in expected.items() if manifest.get(name) != value]


def _sum(pair: tuple[int, int], currency: str) -> dict[str, object]:
    count, total = pair
    return {"count": count, "total": format_minor(total, currency)}


def _manifest_lines(manifest: Manifest) -> dict[str, Mapping[str, object]]:
    listed = manifest.get("lines")
    lines = [line for line in listed if isinstance(line, dict)] if isinstance(listed, list) else []
    return {str(line.get("bursar_transaction_id")): line for line in lines}


def _row(patron: ReadPatron, line: ReadLine, told: Mapping[str, object]) -> Row:
    credit_of, credit_of_type = _credit_ref(line)
    texts = {
        "bursar_transaction_id": line.paid.bursar_transaction_id,
        "fine_id": str(told.get("fine_id")),
        "type": line.type,
        "status": str(told.get("status")),
        "match_type": patron.match_type,
        "match_value": patron.match_value,
        "patron_name": patron.name,
        "library_id": line.library_id,
        "library_code": line.library_code,
        "last_transaction": line.last_transaction,
        "comment": line.comment,
        "credit_of_bursar_transaction_id": credit_of,
        "credit_of_type": credit_of_type,
        "item_title": line.item_title,
        "item_call_number": line.item_call_number,
        "item_library": line.item_library,
        "item_location": line.item_location,
        "item_internal_location": line.item_internal_location,
        "item_due_date": line.item_due_date,
        "item_barcode": line.item_barcode,
    }
    return Row(line.paid.amount, {name: text or "" for name, text in texts.items()})


def _credit_ref(line: ReadLine) -> tuple[str, str]:
    """The line a credit refers to, from the end of its comment (docs/bursar-xml.md)."""
    found = _REF.fullmatch(line.comment or "") if line.paid.amount < 0 else None
    return (found[1], found[2]) if found else ("", "")
