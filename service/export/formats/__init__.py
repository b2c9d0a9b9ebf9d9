"""The formats in which a delivery prints a batch: the XML itself, CSV and fixed width.

Each format prints the same batch with the same totals.
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
    """A way to print a batch in a file."""

    @property
    def name(self) -> str:
        """The name that the option `--format` has."""

    @property
    def suffix(self) -> str:
        """The suffix of the files, without the dot."""

    def render(self, table: Table) -> bytes:
        """The bytes of the file. Raises NotPrintable."""

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """The rows that the bytes hold.

        Raises NotPrintable, or ValueError if the bytes are not a file of this format.
        """


class XmlFormat:
    """The XML as it was sealed."""

    name = "xml"
    suffix = "xml"

    def render(self, table: Table) -> bytes:
        """The document as it is."""
        return table.document

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """The amounts and bursar ids of the document's fines."""
        paid = [fine.paid for patron in read_xml(data).patrons for fine in patron.lines]
        if any(fine.currency != currency for fine in paid):
            raise NotPrintable("currency: is not the batch's")
        return tuple(
            Row(fine.amount, {"bursar_transaction_id": fine.bursar_transaction_id}) for fine in paid
        )


def format_named(name: str, layout: Layout | None = None) -> Format:
    """The format of this name, as the option `--format` has it.

    Raises OperatorError for an unknown name, and for `fixed` without a layout.
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
        totals = sum_up((("", "", amount) for amount in amounts), patrons=0)
        names = [each.field for each in different_totals(totals, manifest, table.currency)]
        faults = [name for name in names if name in ("count", "total", "debits", "credits")]
        raise NotPrintable(f"{', '.join(faults) or 'amounts'}: the printed lines differ")
    return data
