"""The transcript of a document: a plain text of its elements and their texts, for comparing the
document with the batch that it was printed from. Pure.

The transcript has the elements in their order, each as a line of three parts: its name with its
prefix, `true` if it is nil, and its content, which is a text or the lines of the elements in it.
Tabs separate the parts. A comment or a processing instruction, which some readers take for the end
of a text, is a further tab, so that no batch has the same transcript.

An XSLT program writes the transcript of a document, so that the XML is read by a library, without
the interpreter's lock and without an object for each element. The transcript of a batch is made
here of the batch's values. It shares with the printer (write.py) the forms of dates, sums and
comments, and nothing else.
"""

from functools import cache

from lxml import etree

from ...core.money import InvalidAmount
from ..batch import (
    INSTITUTION,
    Batch,
    BatchLine,
    BatchPatron,
    InvalidBatch,
    Totals,
    clean,
    sum_up,
)
from .read import minor_units
from .write import (
    NIL_NAMESPACE,
    printed_comment,
    printed_institution,
    printed_sum,
    printed_time,
)

_PROGRAM = f"""\
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:xsi="{NIL_NAMESPACE}">
  <xsl:output method="text"/>
  <xsl:template match="*">
    <xsl:value-of select="name()"/>
    <xsl:text>&#9;</xsl:text>
    <xsl:value-of select="@xsi:nil"/>
    <xsl:text>&#9;</xsl:text>
    <xsl:apply-templates/>
    <xsl:text>&#10;</xsl:text>
  </xsl:template>
  <xsl:template match="comment()|processing-instruction()">
    <xsl:text>&#9;</xsl:text>
  </xsl:template>
</xsl:stylesheet>
"""

Entry = tuple[str, str, int]  # type, owner's code and amount of a fine, as they are printed


@cache
def _program() -> etree.XSLT:
    return etree.XSLT(etree.fromstring(_PROGRAM))


def transcript(root: etree._Element) -> bytes:
    """Returns the transcript of a document, in UTF-8.

    The document has to be valid: the schema allows no tabs and line breaks in its texts. With tabs
    and line breaks in texts, documents that differ could have the same transcript.
    """
    return bytes(_program()(root))


def transcript_of_batch(batch: Batch) -> tuple[bytes, Totals]:
    """Returns the transcript that the document of a batch must have, and the totals of the sums in
    it.

    The totals are added up of the printed sums as they are read back, so that comparing them with
    the totals of the batch's amounts shows a sum that was printed wrongly. Raises InvalidBatch if a
    printed sum cannot be read.
    """
    entries: list[Entry] = []
    patrons = [_patron(batch, patron, entries).encode() for patron in batch.patrons]
    number = _line("userExportedFineFees", _line("exportNumber", str(batch.export_number)))
    head = f"xb:xml-fragment\t\t{number}xb:userExportedFineFees\t\txb:userExportedList\t\t"
    whole = b"".join((head.encode(), *patrons, b"\n\n\n"))
    return whole, sum_up(entries, patrons=len(patrons))


def _patron(batch: Batch, patron: BatchPatron, entries: list[Entry]) -> str:
    """The lines of a patron and their fines; adds what the totals are made of to `entries`."""
    owner = _text("InstitutionId", printed_institution(batch, patron))
    user = (
        _text("type", patron.match_type),
        _text("value", patron.match_value),
        _line("owneredEntity", owner),
    )
    fines = [_line("userFineFee", _fine(batch, line, entries)) for line in patron.lines]
    parts = (
        _line("user", "".join(user)),
        _text("patronName", patron.name),
        _line("finefeeList", "".join(fines)),
    )
    return _line("userExportedFineFeesList", "".join(parts))


def _fine(batch: Batch, line: BatchLine, entries: list[Entry]) -> str:
    kind, code = clean(line.type), clean(line.owner.library_code) if line.owner else INSTITUTION
    amount = printed_sum(line.amount, batch.currency)
    entries.append((kind, code, _read_back(amount, batch.currency)))
    parts = (
        _text_or_nil("fineFeeComment", printed_comment(line, batch.credit_references)),
        _line("fineFeeType", kind),
        _line("owneredEntity", _owner(batch, line)),
        _line("lastTransactionDate", printed_time(line.last_transaction_at, batch.zone)),
        _item(batch, line),
        _line("compositeSum", _sum(batch.currency, amount)),
        _line("bursarTransactionId", line.bursar_transaction_id),
    )
    return "".join(parts)


def _read_back(amount: str, currency: str) -> int:
    """The printed sum in minor units, as a reader of the bursar's files would take it."""
    try:
        return minor_units(amount, currency)
    except InvalidAmount as error:
        raise InvalidBatch("sum", str(error)) from None


def _owner(batch: Batch, line: BatchLine) -> str:
    institution = _line("InstitutionId", batch.institution_id)
    if line.owner is None:
        return institution
    library = _text("libraryId", line.owner.library_id)
    return institution + library + _text("libraryCode", line.owner.library_code)


def _item(batch: Batch, line: BatchLine) -> str:
    """The lines of the item; a fine without an item has a title without a text."""
    item = line.item
    if item is None:
        return _line("itemTitle", "")
    due = printed_time(item.due_date, batch.zone) if item.due_date else None
    parts = (
        _text("itemTitle", item.title),
        _text_if_any("itemCallNumebr", item.call_number),  # sic
        _text_if_any("itemLibrary", item.library),
        _text_if_any("itemLocation", item.location),
        _text_if_any("itemInternalLocation", item.internal_location),
        _text_or_nil("itemDueDate", due),
        _text_if_any("itemBarcode", item.barcode),
    )
    return "".join(parts)


def _sum(currency: str, amount: str) -> str:
    return _line("currency", currency) + _line("sum", amount) + _text_or_nil("vat", None)


def _line(name: str, content: str) -> str:
    return f"xb:{name}\t\t{content}\n"


def _text(name: str, text: str) -> str:
    return _line(name, clean(text))


def _text_if_any(name: str, text: str | None) -> str:
    return _text(name, text) if text else ""


def _text_or_nil(name: str, text: str | None) -> str:
    return _text(name, text) if text else f"xb:{name}\ttrue\t\n"
