"""CSV after RFC 4180: a header row, CRLF, UTF-8 without a mark; one row per fine. Pure.

A text that a spreadsheet would run as a formula gets an apostrophe in front, also where apostrophes
are there already: so reading takes exactly one away and every text comes back as it was. Some
spreadsheets take wide, small, raised and lowered signs for the plain ones.
"""

import csv
import re
from io import StringIO
from typing import Final

from ...core.money import format_minor, parse_sum
from .table import BATCH_FIELDS, LINE_FIELDS, TEXT_FIELDS, NotPrintable, Row, Table

COLUMNS: Final = (*BATCH_FIELDS, *LINE_FIELDS)
# Of =, +, - and @ every form that Unicode's compatibility mapping makes of them, the minus sign and
# its forms; and whatever ends or begins a cell or a line.
_SIGNS = (
    "=\u207c\u208c\ufe66\uff1d"
    "+\u207a\u208a\ufb29\ufe62\uff0b"
    "-\u2212\u207b\u208b\ufe63\uff0d"
    "@\ufe6b\uff20"
    "\t\n\r\x85\u2028\u2029"
)
_FORMULA = re.compile(f"'*[{re.escape(_SIGNS)}]")
_NEUTRALISED = re.compile(f"'+[{re.escape(_SIGNS)}]")


class CsvFormat:
    """Amounts are plain decimals with exactly the currency's digits, never neutralised."""

    name: Final = "csv"
    suffix: Final = "csv"

    def render(self, table: Table) -> bytes:
        text = StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
        writer.writerow(COLUMNS)
        batch = [neutralised(table.batch[field]) for field in BATCH_FIELDS]
        for row in table.rows:
            writer.writerow([*batch, *_cells(row, table.currency)])
        return text.getvalue().encode()

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """The rows; the batch's columns are the same in all of them and left out."""
        cells = csv.reader(StringIO(data.decode(), newline=""), strict=True)
        if next(cells, None) != list(COLUMNS):
            raise NotPrintable("header: is not this format's")
        return tuple(_row(dict(zip(COLUMNS, row, strict=True)), currency) for row in cells)


def neutralised(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def original(text: str) -> str:
    """What was neutralised, as it was."""
    return text[1:] if _NEUTRALISED.match(text) else text


def _cells(row: Row, currency: str) -> list[str]:
    return [
        format_minor(row.amount, currency) if field == "amount" else neutralised(row.texts[field])
        for field in LINE_FIELDS
    ]


def _row(cells: dict[str, str], currency: str) -> Row:
    texts = {field: original(cells[field]) for field in TEXT_FIELDS}
    return Row(parse_sum(cells["amount"], currency), texts)
