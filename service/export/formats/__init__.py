"""Formats beside the XML, from the same batch and with the same totals, by name."""

from typing import Protocol

from ...runtime.problems import OperatorError
from ..verify import Manifest
from ..xml.read import read as read_xml
from .csv_format import CsvFormat
from .fixed_width import FixedWidth
from .layout import Layout, read_layout
from .table import NotPrintable, Row, Table, control_of, differing, table_of

__all__ = [
    "NAMES",
    "Format",
    "Layout",
    "NotPrintable",
    "Row",
    "Table",
    "XmlFormat",
    "format_named",
    "printed_as",
    "read_layout",
    "table_of",
]

NAMES = ("xml", "csv", "fixed")


class Format(Protocol):
    """`suffix` of its files, without the dot."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def render(self, table: Table) -> bytes:
        """The file's bytes. Raises NotPrintable."""
        ...

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """What the bytes say. Raises NotPrintable, or ValueError for what is no such file."""
        ...


class XmlFormat:
    """The sealed bytes themselves."""

    name = "xml"
    suffix = "xml"

    def render(self, table: Table) -> bytes:
        return table.document

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        lines = (line for patron in read_xml(data).patrons for line in patron.lines)
        rows = []
        for line in lines:
            if line.paid.currency != currency:
                raise NotPrintable("currency: is not the batch's")
            texts = {"bursar_transaction_id": line.paid.bursar_transaction_id}
            rows.append(Row(line.paid.amount, texts))
        return tuple(rows)


def format_named(name: str, layout: Layout | None = None) -> Format:
    """Raises OperatorError for a name that is none, and for `fixed` without a layout."""
    if name == "fixed":
        if layout is None:
            raise OperatorError("--layout: is required with --format fixed")
        return FixedWidth(layout)
    if name == "csv":
        return CsvFormat()
    if name == "xml":
        return XmlFormat()
    raise OperatorError(f"--format: must be one of {', '.join(NAMES)}")


def printed_as(form: Format, document: bytes, manifest: Manifest) -> bytes:
    """The bytes of the batch's file in this format.

    The document is read and totalled once, against its manifest; the file is read back and compared
    with what was read. Raises NotPrintable.
    """
    table = table_of(document, manifest)
    data = form.render(table)
    if data is document:
        return data  # the XML itself: it was read and compared just now
    amounts = [row.amount for row in form.read(data, table.currency)]
    if amounts != [row.amount for row in table.rows]:
        faults = differing(control_of(amounts), manifest, table.currency)
        raise NotPrintable(f"{', '.join(faults) or 'amounts'}: the printed lines differ")
    return data
