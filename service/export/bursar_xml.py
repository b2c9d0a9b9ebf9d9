"""The bursar XML: `render(batch)` prints it. Depends on the batch alone: no clock, no locale.

The format, with what readers in the field break on, is described in docs/bursar-xml.md. Reading
is in bursar_xml_reader.py.
"""

import re
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Protocol
from zoneinfo import ZoneInfo

from lxml import etree

from service.core.ledger import Item, Owner
from service.core.money import format_minor
from service.export.batch import USER_NAME, Batch, BatchLine, BatchPatron, clean

NAMESPACE = "http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans"
NIL_NAMESPACE = "http://www.w3.org/2001/XMLSchema-instance"
NO_INSTITUTION = "null"  # the format's own text where the user is matched by user name

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_NIL_WRITTEN = f' xmlns:xsi="{NIL_NAMESPACE}" xsi:nil="true"></xb:%s>'
_NIL_EXPECTED = f' xsi:nil="true" xmlns:xsi="{NIL_NAMESPACE}"/>'.encode()
_NILLABLE = ("vat", "fineFeeComment", "itemDueDate")

_LETTERS = re.compile("[A-Za-z]+")


def render(batch: Batch) -> bytes:
    """The complete document, UTF-8, one line after the declaration."""
    document = BytesIO()
    document.write(_DECLARATION)
    with etree.xmlfile(document, encoding="UTF-8") as xml:
        _write_fragment(_Pen(xml), batch)
    return _as_readers_know_it(document.getvalue())


@cache
def tag(name: str) -> str:
    """A name of the bursar namespace as lxml writes it; the prefix does not matter."""
    return f"{{{NAMESPACE}}}{name}"


def printed_sum(amount: int, currency: str) -> str:
    """Plain decimal without trailing zeros: 300, 95.5, -3.25. One reader loses digits of 300.00."""
    text = format_minor(amount, currency)
    return text.rstrip("0").rstrip(".") if "." in text else text


def printed_time(instant: datetime, zone: str) -> str:
    """`MM/dd/yyyy HH:mm:ss ZZZ`; in UTC where the zone has no abbreviation of letters."""
    try:
        local = instant.astimezone(ZoneInfo(zone))
    except OverflowError:  # within a day of the first or last instant there is
        local = instant.astimezone(UTC)
    abbreviation = local.tzname() or ""
    if not _LETTERS.fullmatch(abbreviation):
        local, abbreviation = instant.astimezone(UTC), "UTC"
    day = f"{local.month:02}/{local.day:02}/{local.year:04}"
    return f"{day} {local.hour:02}:{local.minute:02}:{local.second:02} {abbreviation}"


def printed_comment(line: BatchLine, credit_references: bool) -> str | None:
    """The library's own text, then the line the credit refers to: sites guess it otherwise."""
    ref = line.credit_ref if credit_references else None
    said = f"ref {ref.bursar_transaction_id} {ref.type}" if ref else None
    texts = [clean(text) for text in (line.comment, said) if text]
    return " ".join(texts) or None


class _XmlFile(Protocol):
    """What is used of lxml's streaming writer."""

    def element(
        self, tag: str, attrib: dict[str, str] = ..., nsmap: dict[str, str] = ...
    ) -> AbstractContextManager[None]: ...

    def write(self, text: str) -> None: ...


class _Pen:
    """Writes elements of the format's namespace under the literal prefix `xb`."""

    def __init__(self, xml: _XmlFile) -> None:
        self._xml = xml

    def root(self) -> AbstractContextManager[None]:
        return self._xml.element(tag("xml-fragment"), nsmap={"xb": NAMESPACE})

    def within(self, name: str) -> AbstractContextManager[None]:
        return self._xml.element(tag(name))

    def text(self, name: str, text: str) -> None:
        with self.within(name):
            self._xml.write(clean(text))

    def text_if_any(self, name: str, text: str | None) -> None:
        if text:
            self.text(name, text)

    def text_or_nil(self, name: str, text: str | None) -> None:
        if text is None:
            self.nil(name)
        else:
            self.text(name, text)

    def nil(self, name: str) -> None:
        attributes = {f"{{{NIL_NAMESPACE}}}nil": "true"}
        with self._xml.element(tag(name), attributes, {"xsi": NIL_NAMESPACE}):
            pass


def _write_fragment(pen: _Pen, batch: Batch) -> None:
    # Two siblings: one reader takes the second, another the one without a number.
    with pen.root():
        with pen.within("userExportedFineFees"):
            pen.text("exportNumber", str(batch.export_number))
        with pen.within("userExportedFineFees"), pen.within("userExportedList"):
            for patron in batch.patrons:
                _write_patron(pen, batch, patron)


def _write_patron(pen: _Pen, batch: Batch, patron: BatchPatron) -> None:
    with pen.within("userExportedFineFeesList"):
        with pen.within("user"):
            pen.text("type", patron.match_type)
            pen.text("value", patron.match_value)
            with pen.within("owneredEntity"):
                pen.text("InstitutionId", printed_institution(batch, patron))
        pen.text("patronName", patron.name)
        with pen.within("finefeeList"):
            for line in patron.lines:
                _write_line(pen, batch, line)


def printed_institution(batch: Batch, patron: BatchPatron) -> str:
    """The institution beside the user's identifier."""
    return NO_INSTITUTION if patron.match_type == USER_NAME else batch.institution_id


def _write_line(pen: _Pen, batch: Batch, line: BatchLine) -> None:
    with pen.within("userFineFee"):
        pen.text_or_nil("fineFeeComment", printed_comment(line, batch.credit_references))
        pen.text("fineFeeType", line.type)
        _write_owner(pen, batch.institution_id, line.owner)
        pen.text("lastTransactionDate", printed_time(line.last_transaction_at, batch.zone))
        _write_item(pen, line.item, batch.zone)
        with pen.within("compositeSum"):
            pen.text("currency", batch.currency)
            pen.text("sum", printed_sum(line.amount, batch.currency))
            pen.nil("vat")
        pen.text("bursarTransactionId", line.bursar_transaction_id)


def _write_owner(pen: _Pen, institution_id: str, owner: Owner | None) -> None:
    with pen.within("owneredEntity"):
        pen.text("InstitutionId", institution_id)
        if owner is not None:
            pen.text("libraryId", owner.library_id)
            pen.text("libraryCode", owner.library_code)


def _write_item(pen: _Pen, item: Item | None, zone: str) -> None:
    if item is None:
        pen.text("itemTitle", "")
        return
    pen.text("itemTitle", item.title)
    pen.text_if_any("itemCallNumebr", item.call_number)  # sic
    pen.text_if_any("itemLibrary", item.library)
    pen.text_if_any("itemLocation", item.location)
    pen.text_if_any("itemInternalLocation", item.internal_location)
    pen.text_or_nil("itemDueDate", printed_time(item.due_date, zone) if item.due_date else None)
    pen.text_if_any("itemBarcode", item.barcode)


def _as_readers_know_it(document: bytes) -> bytes:
    """Empty elements in their short form, nil as the format writes it.

    A `>` in a text is escaped, so none of these patterns occurs in one.
    """
    for name in _NILLABLE:
        document = document.replace((_NIL_WRITTEN % name).encode(), _NIL_EXPECTED)
    document = document.replace(b"<xb:itemTitle></xb:itemTitle>", b"<xb:itemTitle/>")
    return document.replace(
        b"<xb:userExportedList></xb:userExportedList>", b"<xb:userExportedList/>"
    )
