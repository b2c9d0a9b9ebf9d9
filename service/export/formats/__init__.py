"""The formats in which a delivery writes a batch's file: the sealed XML itself, CSV and fixed
width.

A batch has the same fines and the same totals in each format.
"""

from typing import Protocol

from ...runtime.problems import OperatorError
from ..batch import sum_up
from ..verify import Manifest, different_totals
from ..xml.read import read as read_xml
from .csv_format import CsvFormat
from .fixed_width import FixedWidth
from .layout import Layout
from .table import NotPrintable, Row, Table, table_of

NAMES = ("xml", "csv", "fixed")


class Format(Protocol):
    """One way to write a batch as a file."""

    @property
    def name(self) -> str:
        """Returns the name by which the option `--format` selects this format."""

    @property
    def suffix(self) -> str:
        """Returns the suffix of the file names, without the dot."""

    def render(self, table: Table) -> bytes:
        """Returns the bytes of the batch's file. Raises NotPrintable."""

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """Reads a file of this format back and returns its rows.

        Raises NotPrintable, or ValueError if the bytes are not a file of this format.
        """


class XmlFormat:
    """The format `xml`, whose file is the XML document that was sealed."""

    name = "xml"
    suffix = "xml"

    def render(self, table: Table) -> bytes:
        """Returns the bytes of the sealed document unchanged."""
        return table.document

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """Returns the amount and the bursar transaction id of each fine in the document."""
        paid = [fine.paid for patron in read_xml(data).patrons for fine in patron.lines]
        if any(fine.currency != currency for fine in paid):
            raise NotPrintable("currency: is not the batch's")
        return tuple(
            Row(fine.amount, {"bursar_transaction_id": fine.bursar_transaction_id}) for fine in paid
        )


def format_named(name: str, layout: Layout | None = None) -> Format:
    """Returns the format that the option `--format` names.

    Raises OperatorError for an unknown name, and for `fixed` if no layout is given.
    """
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
    """Returns the bytes of the batch's file in this format.

    The XML is read once and its totals are compared with the manifest; then the new file is read
    back and its amounts are compared with those of the XML. Raises NotPrintable.
    """
    table = table_of(document, manifest)
    data = form.render(table)
    if data is document:
        return data  # the XML itself: it was read and compared just now
    amounts = [row.amount for row in form.read(data, table.currency)]
    if amounts != [row.amount for row in table.rows]:
        totals = sum_up((("", "", amount) for amount in amounts), patrons=0)
        names = [each.field for each in different_totals(totals, manifest, table.currency)]
        faults = [name for name in names if name in ("count", "total", "debits", "credits")]
        raise NotPrintable(f"{', '.join(faults) or 'amounts'}: the printed lines differ")
    return data
