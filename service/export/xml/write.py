"""Prints the bursar XML. The printed bytes depend on the batch alone, and neither on a clock nor on
a locale.

docs/bursar-xml.md describes the format, and what readers in the field cannot cope with. read.py
reads it.
"""

from datetime import UTC, datetime
from functools import cache, lru_cache
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
_FINES_AND_FEES = "userExportedFineFees"
_NIL = f'<xb:%s xsi:nil="true" xmlns:xsi="{NIL_NAMESPACE}"/>'
_NIL_VAT = _NIL % "vat"
_NO_OWNER, _NO_ITEM = Owner("", "", ""), Item("")


def render(batch: Batch) -> bytes:
    """Returns the complete document in UTF-8: the XML declaration, and everything else on one line.

    The document is built as text, because building it of XML elements takes more than twice as
    long. Before a batch is sealed, proof.py proves that the document is valid XML and says what it
    should.
    """
    # Two siblings: one reader takes the second, another the one without a number.
    number = _element(_FINES_AND_FEES, _text("exportNumber", str(batch.export_number)))
    # Each patron is encoded alone: one large text would be copied again and again.
    listed = [_patron(batch, patron).encode() for patron in batch.patrons]
    if listed:
        listed = [b"<xb:userExportedList>", *listed, b"</xb:userExportedList>"]
    head = f"{_HEAD % NAMESPACE}{number}<xb:{_FINES_AND_FEES}>".encode()
    end = f"</xb:{_FINES_AND_FEES}>{_END}".encode()
    return b"".join((head, *(listed or (b"<xb:userExportedList/>",)), end))


@cache
def tag(name: str) -> str:
    """Returns the name of an element of the bursar namespace in the form that lxml uses."""
    return f"{{{NAMESPACE}}}{name}"


def printed_sum(amount: int, currency: str) -> str:
    """Returns the amount as a plain decimal without trailing zeros, such as 300, 95.5 or -3.25.

    Trailing zeros are left out because a program that loads the file reads 300.00 wrongly.
    """
    text = format_minor(amount, currency)
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=10_000)  # each is printed, and compared with what was read back
def printed_time(instant: datetime, zone: str) -> str:
    """Returns the instant in local time as `MM/dd/yyyy HH:mm:ss ZZZ`.

    The time is printed in UTC if the time zone has no abbreviation of letters, such as CET.
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
    """Returns the library's comment, followed by the line of the fine that a credit belongs to;
    None if there is neither.

    Without that line, the bursar's office would have to guess which fine the credit is for.
    """
    ref = line.credit_ref if credit_references else None
    reference = f"ref {ref.bursar_transaction_id} {ref.type}" if ref else None
    texts = [clean(text) for text in (line.comment, reference) if text]
    return " ".join(texts) or None


def printed_institution(batch: Batch, patron: BatchPatron) -> str:
    """Returns the institution that is printed beside the patron's identifier."""
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
    owner, item, currency = line.owner or _NO_OWNER, line.item or _NO_ITEM, batch.currency
    texts = [
        printed_comment(line, batch.credit_references) or "",
        *(line.type, batch.institution_id, owner.library_id, owner.library_code),
        printed_time(line.last_transaction_at, batch.zone),
        *(item.title, item.call_number or "", item.library or "", item.location or ""),
        item.internal_location or "",
        printed_time(item.due_date, batch.zone) if item.due_date else "",
        *(item.barcode or "", currency, printed_sum(line.amount, currency)),
        line.bursar_transaction_id,
    ]
    # Nearly always no text has anything to replace, and looking at all of them takes one step.
    if not _is_plain("".join(texts)):
        texts = [_escaped(clean(text)) for text in texts]
    comment, code, institution_id, library_id, library_code, changed_at, title, *rest = texts
    call_number, library, location, internal, due, barcode, currency, amount, number = rest
    return (
        f"<xb:userFineFee>{_text_or_nil('fineFeeComment', comment)}"
        f"<xb:fineFeeType>{code}</xb:fineFeeType>"
        f"<xb:owneredEntity><xb:InstitutionId>{institution_id}</xb:InstitutionId>"
        f"{_library(library_id, library_code) if line.owner else ''}</xb:owneredEntity>"
        f"<xb:lastTransactionDate>{changed_at}</xb:lastTransactionDate>"
        f"{_element('itemTitle', title) if title else '<xb:itemTitle/>'}"
        f"{_text_if_any('itemCallNumebr', call_number)}"  # sic
        f"{_text_if_any('itemLibrary', library)}"
        f"{_text_if_any('itemLocation', location)}"
        f"{_text_if_any('itemInternalLocation', internal)}"
        f"{_text_or_nil('itemDueDate', due) if line.item else ''}"
        f"{_text_if_any('itemBarcode', barcode)}"
        f"<xb:compositeSum><xb:currency>{currency}</xb:currency><xb:sum>{amount}</xb:sum>"
        f"{_NIL_VAT}</xb:compositeSum>"
        f"<xb:bursarTransactionId>{number}</xb:bursarTransactionId></xb:userFineFee>"
    )


def _library(library_id: str, code: str) -> str:
    return f"<xb:libraryId>{library_id}</xb:libraryId><xb:libraryCode>{code}</xb:libraryCode>"


def _text_or_nil(name: str, text: str) -> str:
    return _element(name, text) if text else _NIL % name


def _text_if_any(name: str, text: str) -> str:
    return f"<xb:{name}>{text}</xb:{name}>" if text else ""


def _text(name: str, text: str) -> str:
    return _element(name, text if _is_plain(text) else _escaped(clean(text)))


def _is_plain(text: str) -> bool:
    """Whether the text stands in the document as it is: nothing to clean, and nothing to escape."""
    return text.isprintable() and not ("&" in text or "<" in text or ">" in text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _element(name: str, content: str) -> str:
    return f"<xb:{name}>{content}</xb:{name}>"
