"""Prints a batch as records of fixed width, and reads such files back. Pure; all lengths are
numbers of characters.

The layout says whether a text that is too long is cut, or makes the batch undeliverable. Amounts,
numbers and ids are never cut, and none of their characters is replaced.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ...core.money import InvalidAmount, format_minor, parse_sum
from .layout import SIGNED_AMOUNTS, WHOLE, Layout, Place
from .table import NotPrintable, Row, Table

_ENDS: Final = {"crlf": "\r\n", "lf": "\n"}


class FixedWidth:
    """Records of fixed width, as the operator's layout file describes them."""

    name: Final = "fixed"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.suffix = layout.suffix

    def render(self, table: Table) -> bytes:
        """Returns the file: the header, a record for each fine, and the trailer, as far as the
        layout has them.

        Raises NotPrintable if a text is longer than its field and the layout does not let it be
        cut.
        """
        layout, frame = self._layout, self._frame(table)
        records = [
            *([self._record(layout.header, frame)] if layout.header else []),
            *(self._record(layout.line, self._values(table, row)) for row in table.rows),
            *([self._record(layout.trailer, frame)] if layout.trailer else []),
        ]
        return self._encoded("".join(record + _ENDS[layout.line_end] for record in records))

    def read(self, data: bytes, currency: str) -> tuple[Row, ...]:
        """Returns the fields of each fine's record without their padding.

        Raises NotPrintable if the count or total in the header or trailer differs from the fines'
        records.
        """
        layout = self._layout
        records = self._records(data)
        first, last = bool(layout.header), len(records) - bool(layout.trailer)
        if last < first:
            raise NotPrintable("records: header or trailer is missing")
        rows = tuple(self._row(record, currency) for record in records[first:last])
        for places, there in ((layout.header, records[:1]), (layout.trailer, records[-1:])):
            if places:
                self._check_frame(_cut(places, there[0]), rows, currency)
        return rows

    def _records(self, data: bytes) -> list[str]:
        *records, rest = data.decode(self._layout.encoding).split(_ENDS[self._layout.line_end])
        if rest:
            raise NotPrintable("records: the last one has no end")
        return records

    def _frame(self, table: Table) -> dict[str, str]:
        return {
            **table.batch,
            "file_name": table.file_name,
            "cutoff": table.cutoff,
            "count": str(len(table.rows)),
            "total": self._amount(sum(row.amount for row in table.rows), table.currency),
        }

    def _values(self, table: Table, row: Row) -> dict[str, str]:
        return {
            **table.batch,
            **row.texts,
            "amount": self._amount(row.amount, table.currency),
            "amount_absolute": self._amount(abs(row.amount), table.currency),
            "sign": "-" if row.amount < 0 else "+",
        }

    def _amount(self, amount: int, currency: str) -> str:
        return str(amount) if self._layout.amounts == "cents" else format_minor(amount, currency)

    def _minor(self, text: str, currency: str) -> int:
        try:
            if self._layout.amounts == "cents":
                return int(text or "0")
            return parse_sum(_without_leading_zeros(text), currency)
        except (ValueError, InvalidAmount):
            raise NotPrintable("amount: cannot be read back") from None

    def _record(self, places: Sequence[Place], values: Mapping[str, str]) -> str:
        return "".join(self._printed(place, values) for place in places)

    def _printed(self, place: Place, values: Mapping[str, str]) -> str:
        text = place.text if place.field is None else values[place.field]
        assert text is not None
        if len(text) > place.length:
            if (place.too_long or self._layout.too_long) == "refuse" or place.field in WHOLE:
                raise NotPrintable(f"{place.field}: is longer than {place.length} characters")
            text = text[: place.length]
        if place.field in WHOLE:
            self._encoded(text, place.field)
        if place.align == "left":
            return text.ljust(place.length, place.pad)
        if place.pad == "0" and place.field in SIGNED_AMOUNTS and text.startswith("-"):
            return "-" + text[1:].rjust(place.length - 1, "0")
        return text.rjust(place.length, place.pad)

    def _encoded(self, text: str, whole: str | None = None) -> bytes:
        """The bytes of a text; `whole` is the name of a field of which no character is replaced."""
        replace = self._layout.unencodable == "replace" and whole is None
        try:
            return text.encode(self._layout.encoding, "replace" if replace else "strict")
        except UnicodeEncodeError:
            rule = f"a character is not in {self._layout.encoding}"
            raise NotPrintable(f"{whole or 'encoding'}: {rule}") from None

    def _row(self, record: str, currency: str) -> Row:
        texts = _cut(self._layout.line, record)
        if "amount" in texts:
            amount = self._minor(texts.pop("amount"), currency)
        else:
            amount = self._minor(texts["amount_absolute"], currency)
            amount = -amount if texts["sign"] == "-" else amount
        return Row(amount, texts)

    def _check_frame(self, frame: Mapping[str, str], rows: Sequence[Row], currency: str) -> None:
        if "count" in frame and int(frame["count"] or "0") != len(rows):
            raise NotPrintable("count: is not the number of lines")
        total = sum(row.amount for row in rows)
        if "total" in frame and self._minor(frame["total"], currency) != total:
            raise NotPrintable("total: is not the lines' sum")


def _cut(places: Sequence[Place], record: str) -> dict[str, str]:
    """The fields of a record by name, without padding."""
    if len(record) != sum(place.length for place in places):
        raise NotPrintable("record: has another length than its fields")
    texts = {}
    at = 0
    for place in places:
        text, at = record[at : at + place.length], at + place.length
        if place.field is not None:
            texts[place.field] = _stripped(place, text)
    return texts


def _stripped(place: Place, text: str) -> str:
    if place.field in SIGNED_AMOUNTS and place.pad == "0":
        return text  # zeros in front of a number change nothing
    return text.rstrip(place.pad) if place.align == "left" else text.lstrip(place.pad)


def _without_leading_zeros(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{fraction}"
