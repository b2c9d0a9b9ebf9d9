"""Prints the bursar XML. The bytes depend on the batch alone, not on a clock or a locale.

docs/bursar-xml.md describes the format, and what readers in the field cannot cope with. read.py
reads it.
"""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from ...core.ledger import Item, Owner
from ...core.money import format_minor
from ..batch import USER_NAME, Batch, BatchLine, BatchPatron, clean

NAMESPACE = "http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans"
NIL_NAMESPACE = "http://www.w3.org/2001/XMLSchema-instance"
NO_INSTITUTION = "null"  # the format's own text where the user is matched by user name

# The prefix is literal, and there is no blank between elements: readers depend on both.
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<xb:xml-fragment xmlns:xb="%s">'
_END = "</xb:xml-fragment>"
_NO_TITLE = "<xb:itemTitle/>"
_NIL = f'<xb:%s xsi:nil="true" xmlns:xsi="{NIL_NAMESPACE}"/>'


def render(batch: Batch) -> bytes:
    """The complete document in UTF-8, on one line after the declaration.

    The document is put together as text, because a writer of elements takes more than twice as
    long. Each batch is proved to be sound XML and to say what it should before it is sealed
    (proof.py).
    """
    # Two siblings: one reader takes the second, another the one without a number.
    number = _text("exportNumber", str(batch.export_number))
    patrons = "".join([_patron(batch, patron) for patron in batch.patrons])
    listed = _element("userExportedList", patrons) if patrons else "<xb:userExportedList/>"
    fines_and_fees = "userExportedFineFees"
    body = _element(fines_and_fees, number) + _element(fines_and_fees, listed)
    return f"{_HEAD % NAMESPACE}{body}{_END}".encode()


@cache
def tag(name: str) -> str:
    """The name of an element of the bursar namespace, as lxml writes it."""
    return f"{{{NAMESPACE}}}{name}"


def printed_sum(amount: int, currency: str) -> str:
    """The amount as a plain decimal without trailing zeros: 300, 95.5, -3.25.

    One reader loses digits of 300.00.
    """
    text = format_minor(amount, currency)
    return text.rstrip("0").rstrip(".") if "." in text else text


def printed_time(instant: datetime, zone: str) -> str:
    """The instant as `MM/dd/yyyy HH:mm:ss ZZZ`.

    It is in UTC if the zone has no abbreviation that consists of letters.
    """
    try:
        local = instant.astimezone(ZoneInfo(zone))
    except OverflowError:  # within a day of the first or last instant that Python knows
        local = instant.astimezone(UTC)
    abbreviation = local.tzname() or ""
    if not (abbreviation.isascii() and abbreviation.isalpha()):
        local, abbreviation = instant.astimezone(UTC), "UTC"
    text = local.isoformat(timespec="seconds")  # 2026-09-12T15:22:06-04:00
    return f"{text[5:7]}/{text[8:10]}/{text[:4]} {text[11:19]} {abbreviation}"


def printed_comment(line: BatchLine, credit_references: bool) -> str | None:
    """The comment of the library, and the line to which a credit refers; None for no comment.

    Without the line, the bursar's office would have to guess it.
    """
    ref = line.credit_ref if credit_references else None
    reference = f"ref {ref.bursar_transaction_id} {ref.type}" if ref else None
    texts = [clean(text) for text in (line.comment, reference) if text]
    return " ".join(texts) or None


def printed_institution(batch: Batch, patron: BatchPatron) -> str:
    """The institution that is printed beside the identifier of the patron."""
    return NO_INSTITUTION if patron.match_type == USER_NAME else batch.institution_id


def _patron(batch: Batch, patron: BatchPatron) -> str:
    owner = _element("owneredEntity", _text("InstitutionId", printed_institution(batch, patron)))
    user = _text("type", patron.match_type) + _text("value", patron.match_value) + owner
    fines = "".join([_fine(batch, line) for line in patron.lines])
    return _element(
        "userExportedFineFeesList",
        _element("user", user) + _text("patronName", patron.name) + _element("finefeeList", fines),
    )


def _fine(batch: Batch, line: BatchLine) -> str:
    composite_sum = (
        _text("currency", batch.currency)
        + _text("sum", printed_sum(line.amount, batch.currency))
        + _NIL % "vat"
    )
    return _element(
        "userFineFee",
        _text_or_nil("fineFeeComment", printed_comment(line, batch.credit_references))
        + _text("fineFeeType", line.type)
        + _element("owneredEntity", _owner(batch.institution_id, line.owner))
        + _text("lastTransactionDate", printed_time(line.last_transaction_at, batch.zone))
        + _item(line.item, batch.zone)
        + _element("compositeSum", composite_sum)
        + _text("bursarTransactionId", line.bursar_transaction_id),
    )


def _owner(institution_id: str, owner: Owner | None) -> str:
    institution = _text("InstitutionId", institution_id)
    if owner is None:
        return institution
    codes = _text("libraryId", owner.library_id) + _text("libraryCode", owner.library_code)
    return institution + codes


def _item(item: Item | None, zone: str) -> str:
    if item is None:
        return _NO_TITLE
    due = printed_time(item.due_date, zone) if item.due_date else None
    return (
        (_text("itemTitle", item.title) if item.title else _NO_TITLE)
        + _text_if_any("itemCallNumebr", item.call_number)  # sic
        + _text_if_any("itemLibrary", item.library)
        + _text_if_any("itemLocation", item.location)
        + _text_if_any("itemInternalLocation", item.internal_location)
        + _text_or_nil("itemDueDate", due)
        + _text_if_any("itemBarcode", item.barcode)
    )


def _text_or_nil(name: str, text: str | None) -> str:
    return _NIL % name if text is None else _text(name, text)


def _text_if_any(name: str, text: str | None) -> str:
    return _text(name, text) if text else ""


def _text(name: str, text: str) -> str:
    return f"<xb:{name}>{_escaped(clean(text))}</xb:{name}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _element(name: str, content: str) -> str:
    return f"<xb:{name}>{content}</xb:{name}>"
