"""CSV as in RFC 4180: a header row, CRLF, UTF-8 without a byte order mark, a row per fine. Pure.

A text that a spreadsheet would run as a formula gets an apostrophe in front, even if it begins with
apostrophes already. Reading takes exactly one apostrophe away, so every text comes back as it was.
Some spreadsheets treat wide, small, raised and lowered signs like the plain ones.
"""

import csv
import re
from io import StringIO
from typing import Final

from ...core.money import format_minor, parse_sum
from .table import BATCH_FIELDS, LINE_FIELDS, TEXT_FIELDS, NotPrintable, Row, Table

COLUMNS: Final = (*BATCH_FIELDS, *LINE_FIELDS)
# Every form that the compatibility mapping of Unicode turns into =, +, - or @, the minus sign with
# its forms, and every character that ends a cell or a row.
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
    """CSV. Amounts are plain decimals with all digits of the currency, and never neutralised."""

    name: Final = "csv"
    suffix: Final = "csv"

    def render(self, table: Table) -> bytes:
        """A header row, and a row for each fine."""
        output = StringIO(newline="")
        writer = csv.writer(output, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
        writer.writerow(COLUMNS)
        batch = [neutralised(table.batch[field]) for field in BATCH_FIELDS]
        for row in table.rows:
            texts = {field: neutralised(text) for field, text in row.texts.items()}
            texts["amount"] = format_minor(row.amount, table.currency)
            writer.writerow([*batch, *(texts[field] for field in LINE_FIELDS)])
        return output.getvalue().encode()

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """The rows without the columns of the batch, which are the same in all rows.

        Raises NotPrintable if the header is another one.
        """
        records = csv.reader(StringIO(data.decode(), newline=""), strict=True)
        if next(records, None) != list(COLUMNS):
            raise NotPrintable("header: is not this format's")
        rows = (dict(zip(COLUMNS, record, strict=True)) for record in records)
        return tuple(
            Row(
                parse_sum(row["amount"], currency),
                {field: original(row[field]) for field in TEXT_FIELDS},
            )
            for row in rows
        )


def neutralised(text: str) -> str:
    """The text with an apostrophe in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def original(text: str) -> str:
    """The text as it was before it was neutralised."""
    return text[1:] if _NEUTRALISED.match(text) else text
