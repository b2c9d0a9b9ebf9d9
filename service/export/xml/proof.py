"""Proves a document before its batch is sealed: validates it, reads it back, compares and totals
it. Pure.
"""

from functools import cache
from importlib.resources import files
from typing import TypeAlias

from lxml import etree

from ...core.ledger import Item
from ..batch import Batch, BatchLine, BatchPatron, Totals, clean
from .read import (
    PaidLine,
    ReadBatch,
    ReadLine,
    ReadPatron,
    read_elements,
    totals_of_read,
)
from .stream import (
    Fault,
    UnreadableDocument,
    elements_of_tree,
    error_log_of,
    not_well_formed,
)
from .write import printed_comment, printed_institution, printed_time, render


class NotReadBack(ValueError):
    """The bytes do not say what the batch should print; this is a bug, and the batch must not be
    sealed.
    """


SCHEMA_NAME = "bursar-export.v1.xsd"
Printed: TypeAlias = tuple[bytes, Totals]


def print_proved(batch: Batch) -> Printed:
    """Prints the document of a batch and proves it; returns its bytes and their totals.

    Raises UnreadableDocument or NotReadBack if the bytes do not say the same as the batch.
    """
    document = render(batch)
    return document, prove(batch, document)


def prove(batch: Batch, document: bytes) -> Totals:
    """Returns the totals of a document, once it was validated, read back and found equal to its
    batch.

    Raises UnreadableDocument or NotReadBack.
    """
    read_back = read_elements(elements_of_tree(validate(document)))
    if read_back != printed(batch):
        raise NotReadBack("the document read back differs from the batch")
    return totals_of_read(read_back)


def validate(document: bytes) -> etree._Element:
    """Returns the root element of a document that is valid by the published schema.

    Raises UnreadableDocument if the document is invalid; the error names the element's path and the
    rule.
    """
    try:
        root = etree.fromstring(
            document, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        )
    except etree.XMLSyntaxError as error:
        raise not_well_formed(error) from None
    schema = bursar_export_schema()
    if not schema.validate(root):
        first = error_log_of(schema)[0]
        raise UnreadableDocument(Fault.NOT_VALID, f"{first.path}: {first.type_name}")
    return root


@cache
def bursar_export_schema() -> etree.XMLSchema:
    """The released XSD, compiled. The schema imports no other schema, so compiling it fetches
    nothing from the network.

    The installed package has the schema's file in its own folder `contracts`. In a checkout of the
    repository, the schema's file is in `contracts/export/`, beside the package.
    """
    package = files(__package__.split(".")[0])
    installed = package / "contracts" / SCHEMA_NAME
    source = (
        installed if installed.is_file() else package / ".." / "contracts" / "export" / SCHEMA_NAME
    )
    return etree.XMLSchema(etree.fromstring(source.read_bytes()))


def printed(batch: Batch) -> ReadBatch:
    """Returns the ReadBatch that reading the printed batch must give."""
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
    texts: dict[str, str | None] = {
        "institution_id": batch.institution_id,
        "library_id": owner.library_id if owner else None,
        "library_code": owner.library_code if owner else None,
        "comment": printed_comment(line, batch.credit_references),
        "type": line.type,
        "last_transaction": printed_time(line.last_transaction_at, batch.zone),
        "item_title": item.title,
        # An empty text is not printed.
        "item_call_number": item.call_number or None,
        "item_library": item.library or None,
        "item_location": item.location or None,
        "item_internal_location": item.internal_location or None,
        "item_due_date": printed_time(item.due_date, batch.zone) if item.due_date else None,
        "item_barcode": item.barcode or None,
    }
    # Nearly always no text has anything to clean, and looking at all of them takes one step.
    if not "".join(filter(None, texts.values())).isprintable():
        texts = {name: text and clean(text) for name, text in texts.items()}
    return ReadLine(PaidLine(n, line.bursar_transaction_id, line.amount, batch.currency), texts)
