"""Prints a batch as CSV by RFC 4180: a header row and a row for each fine, with CRLF, in UTF-8
without a byte order mark. Pure.

A text that a spreadsheet would run as a formula gets an apostrophe in front, also if it begins with
apostrophes already. Reading the file removes exactly one apostrophe from each text that got one, so
every text is the same as before. Some spreadsheets also treat the wide, small, superscript and
subscript forms of =, +, - and @ as the beginning of a formula.
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
    """CSV. Amounts are plain decimals with all decimals of the currency, and get no apostrophe in
    front.
    """

    name: Final = "csv"
    suffix: Final = "csv"

    def render(self, table: Table) -> bytes:
        """Returns the file: a header row, and a row for each fine."""
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
        """Returns the fines' rows, without the columns that are the same in all rows of the batch.

        Raises NotPrintable if the file does not have this format's header row.
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
    """Returns the text, with an apostrophe in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def original(text: str) -> str:
    """Returns the text as it was before `neutralised` put an apostrophe in front."""
    return text[1:] if _NEUTRALISED.match(text) else text
