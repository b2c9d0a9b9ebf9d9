"""Proves a document before its batch is sealed: validates it, reads it back and totals it. Pure."""

from functools import cache
from importlib.resources import files

from lxml import etree

from ...core.ledger import Item
from ..batch import Batch, BatchLine, BatchPatron, Totals, clean
from .read import (
    PaidLine,
    ReadBatch,
    ReadLine,
    ReadPatron,
    read,
    totals_of_read,
)
from .stream import Fault, UnreadableDocument, not_well_formed
from .write import printed_comment, printed_institution, printed_time


class NotReadBack(ValueError):
    """The bytes do not say what the batch prints: a bug, so that the batch must not be sealed."""


SCHEMA_NAME = "bursar-export.v1.xsd"


def prove(batch: Batch, document: bytes) -> Totals:
    """The totals of a document, after it was validated, read back and compared with its batch.

    Raises UnreadableDocument or NotReadBack.
    """
    validate(document)
    read_back = read(document)
    if read_back != printed(batch):
        raise NotReadBack("the document read back differs from the batch")
    return totals_of_read(read_back)


def validate(document: bytes) -> None:
    """Raises UnreadableDocument for an invalid document, with the element's path and the rule."""
    try:
        root = etree.fromstring(
            document, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        )
    except etree.XMLSyntaxError as error:
        raise not_well_formed(error) from None
    schema = bursar_export_schema()
    if not schema.validate(root):
        first = schema.error_log[0]  # type: ignore[index]  # lxml-stubs leave it out
        raise UnreadableDocument(Fault.NOT_VALID, f"{first.path}: {first.type_name}")


@cache
def bursar_export_schema() -> etree.XMLSchema:
    """The released XSD, compiled. It imports no other schema, so nothing is fetched.

    An installed package has the file in its own folder `contracts`. In a checkout the file is in
    `contracts/export/`, beside the package.
    """
    package = files(__package__.split(".")[0])
    installed = package / "contracts" / SCHEMA_NAME
    source = (
        installed if installed.is_file() else package / ".." / "contracts" / "export" / SCHEMA_NAME
    )
    return etree.XMLSchema(etree.fromstring(source.read_bytes()))


def printed(batch: Batch) -> ReadBatch:
    """What `read(render(batch))` has to return."""
    patrons = []
    n = 0
    for patron in batch.patrons:
        lines = tuple(
            _printed_line(batch, line, number)
            for number, line in enumerate(patron.lines, start=n + 1)
        )
        n += len(lines)
        patrons.append(_printed_patron(batch, patron, lines))
    return ReadBatch(str(batch.export_number), tuple(patrons))


def _printed_patron(batch: Batch, patron: BatchPatron, lines: tuple[ReadLine, ...]) -> ReadPatron:
    return ReadPatron(
        match_type=clean(patron.match_type),
        match_value=clean(patron.match_value),
        institution_id=printed_institution(batch, patron),
        name=clean(patron.name),
        lines=lines,
    )


def _printed_line(batch: Batch, line: BatchLine, n: int) -> ReadLine:
    item, owner = line.item or Item(""), line.owner
    texts = {
        "institution_id": batch.institution_id,
        "library_id": clean(owner.library_id) if owner else None,
        "library_code": clean(owner.library_code) if owner else None,
        "comment": printed_comment(line, batch.credit_references),
        "type": clean(line.type),
        "last_transaction": printed_time(line.last_transaction_at, batch.zone),
        "item_title": clean(item.title),
        "item_call_number": _text_or_none(item.call_number),
        "item_library": _text_or_none(item.library),
        "item_location": _text_or_none(item.location),
        "item_internal_location": _text_or_none(item.internal_location),
        "item_due_date": printed_time(item.due_date, batch.zone) if item.due_date else None,
        "item_barcode": _text_or_none(item.barcode),
    }
    return ReadLine(PaidLine(n, line.bursar_transaction_id, line.amount, batch.currency), texts)


def _text_or_none(text: str | None) -> str | None:
    """The text as it is printed; an empty text is not printed."""
    return clean(text) if text else None
