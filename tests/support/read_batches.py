"""What reading a printed batch back must give."""

from __future__ import annotations

from service.core.ledger import Item
from service.export.batch import Batch, BatchLine, BatchPatron, clean
from service.export.xml.read import PaidLine, ReadBatch, ReadLine, ReadPatron
from service.export.xml.write import printed_comment, printed_institution, printed_time


def printed(batch: Batch) -> ReadBatch:
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
