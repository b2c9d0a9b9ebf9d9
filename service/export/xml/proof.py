"""A batch is printed, validated, read back and totalled before anything is sealed. Pure."""

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
from .stream import validate
from .write import printed_comment, printed_institution, printed_time
from .xsd import bursar_export_schema


class NotReadBack(ValueError):
    """What the bytes say is not what the batch prints: a bug, nothing may be sealed."""


def prove(batch: Batch, document: bytes) -> Totals:
    """The totals of a document, after it was validated, read back and compared with its batch.

    Raises RefusedDocument or NotReadBack.
    """
    validate(document, bursar_export_schema())
    read_back = read(document)
    if read_back != printed(batch):
        raise NotReadBack("the document read back differs from the batch")
    return totals_of_read(read_back)


def printed(batch: Batch) -> ReadBatch:
    """What the format prints of a batch: the other side of `read(render(batch))`."""
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
    item = line.item or Item("")
    due = printed_time(item.due_date, batch.zone) if item.due_date else None
    return ReadLine(
        paid=PaidLine(n, line.bursar_transaction_id, line.amount, batch.currency),
        comment=printed_comment(line, batch.credit_references),
        type=clean(line.type),
        institution_id=batch.institution_id,
        library_id=clean(line.owner.library_id) if line.owner else None,
        library_code=clean(line.owner.library_code) if line.owner else None,
        last_transaction=printed_time(line.last_transaction_at, batch.zone),
        item_title=clean(item.title),
        item_call_number=_said(item.call_number),
        item_library=_said(item.library),
        item_location=_said(item.location),
        item_internal_location=_said(item.internal_location),
        item_due_date=due,
        item_barcode=_said(item.barcode),
    )


def _said(text: str | None) -> str | None:
    """An empty text is not printed."""
    return clean(text) if text else None
