"""Shows how a record that was rejected as a conflict differs from the earlier record with the same
identity.
"""

from dataclasses import fields

from ..core.batches import Response
from ..core.events import (
    BursarPayment,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
    Rejection,
)
from ..core.ledger import Change, FineFacts, Origin, Payment
from ..core.words import PaymentKind
from ..database import encodings, tables
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, statements
from ..database.tables import Table
from ..messages.decode import parse
from .names import contract_of

Content = FineFacts | FineChanged | BursarPayment | ExportResponse
Known = Incoming | Rejection | FineFacts | Payment | Change | Response
# The tables of records that are known by institution, source and id, by the type of their events.
TABLE_OF: dict[type, Table[Payment] | Table[Change] | Table[Response]] = {
    FineChanged: tables.CHANGE,
    BursarPayment: tables.PAYMENT,
    ExportResponse: tables.RESPONSE,
}
_NO_MEMBERS = ("key", "digest", "earlier_digest", "cuts", "is_new_form", "origin")
# Members of the contract that have another name in the event.
_MEMBERS = {"batch": "profile or batch_number"}
_FINE_MEMBERS = {"patron_id": "patron.patron_id"}


async def differences(connection: Connection, store: LedgerReader, origin: Origin) -> str | None:
    """Returns the names, never the values, of the members in which a record differs from the known
    record with the same identity; None if no record with this identity is known, or if the given
    record cannot be read.

    If the known record is parked, all members are compared, because its bytes are stored. Of any
    other known payment, change or answer of the bursar the ledger stores only some members: these
    are compared, and the text lists those that could not be compared.
    """
    event = parse(contract_of(origin.topic), origin)
    if isinstance(event, FineCreated):
        fine = (await store.fines_by_key(connection, {event.key})).get(event.key)
        return None if fine is None else _in_words(event.facts, fine.facts)
    if isinstance(event, Rejection):
        return None
    table = TABLE_OF[type(event)]
    columns = ([part] for part in event.key)
    row = await connection.fetchrow(statements("ledger")[f"read_{table.name}"], *columns)
    record = table.name.removeprefix("fine_")
    waiting = await connection.fetchrow(statements("operators")["parked_as"], record, *event.key)
    if waiting is not None:
        return _in_words(event, parse(contract_of(origin.topic), encodings.origin_of(waiting)))
    if row is None:
        return None
    known = table.value(row)
    return _in_words(event, known, await _patron_of_sum(connection, known))


async def _patron_of_sum(connection: Connection, known: Payment | Change | Response) -> str | None:
    """The patron whose account a known sum without a line is for; None for any other record."""
    if not isinstance(known, Payment) or known.kind is not PaymentKind.PAYMENT:
        return None
    columns = ([part] for part in known.key)
    row = await connection.fetchrow(statements("sums")["read_payment_sum"], *columns)
    return None if row is None else str(row["patron_id"])


def _in_words(event: Content, known: Known, patron_of_sum: str | None = None) -> str:
    """`known` is of the same type, or what the ledger keeps of such a record.

    The ledger keeps the patron of a sum without a line alone.
    """
    stored = {field.name: getattr(known, field.name) for field in fields(known)}
    if patron_of_sum is not None:
        stored["patron_id"] = patron_of_sum
    if not isinstance(known, type(event)):
        stored["reverses_payment_id"] = stored.pop("reverses", None)
        # The ledger's reason is that of a rejection, and its fine may be that of the line.
        del stored["reason"]
        if getattr(event, "fine_id", "") is None:
            stored["fine_id"] = None
    names = [field.name for field in fields(event) if field.name not in _NO_MEMBERS]
    members = _FINE_MEMBERS if isinstance(event, FineFacts) else _MEMBERS
    text = ", ".join(
        members.get(name, name)
        for name in names
        if name in stored and getattr(event, name) != stored[name]
    )
    rest = ", ".join(members.get(name, name) for name in names if name not in stored)
    text = text or "no member that is stored"
    return f"{text}; not stored of the known record: {rest}" if rest else text
