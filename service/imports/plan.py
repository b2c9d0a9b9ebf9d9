"""What a file from the bursar would do, line by line: the real rules on what is read, no lock.

Lines of one fine are looked at together and in the file's order, so the plan is what happens
unless somebody else is faster.
"""

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from hashlib import sha256

import orjson

from service.core import rules
from service.core.books import Books
from service.core.events import BursarPayment
from service.core.ledger import FineKey, LineKey, Origin, Payment, SourceKey
from service.core.money import format_minor
from service.core.outcomes import rejected
from service.core.words import ItemState, PaymentKind, Reason
from service.database import records
from service.database.ledger_store import LedgerStore, columns
from service.database.pool import Connection
from service.database.references import references
from service.database.statements import statements
from service.database.transient import with_current_schema
from service.export.bursar_xml_reader import PaidLine
from service.messages import parse

PAGE_LINES = 1_000
CONTRACT = "bursar-payment.v1"
TOPIC = "import"  # of what is rejected before it is published

SQL = statements("imports")


class Fate(StrEnum):
    """What would become of a line."""

    PAID = "paid"
    PARTIAL = "partial"
    OVERPAID = "overpaid"  # the part that is outstanding is paid, the rest becomes a credit
    NOT_OWED = "not_owed"  # nothing is outstanding, all of it becomes a credit: paid before?
    REVERSED = "reversed"
    NOTED = "noted"
    PARKED = "parked"
    REPEAT = "repeat"
    UNKNOWN = "unknown"
    REJECTED = "rejected"

    @property
    def passes(self) -> bool:
        return self not in (Fate.UNKNOWN, Fate.REJECTED)

    @property
    def overpays(self) -> bool:
        return self in (Fate.OVERPAID, Fate.NOT_OWED)


@dataclass(frozen=True, slots=True)
class Target:
    """Whose file it is. `sha256` is the file's, in hex; amounts are in minor units."""

    institution_id: str
    source: str
    sha256: str
    paid_at: datetime

    def payment_id(self, n: int) -> str:
        return f"{self.sha256}-{n}"

    @property
    def id_range(self) -> tuple[str, str]:
        """All payment ids of the file lie from the first up to the second ("." follows "-")."""
        return f"{self.sha256}-", f"{self.sha256}."


@dataclass(frozen=True, slots=True)
class Planned:
    """A line and its fate; `event` None: there is nothing to publish. `excess` in minor units."""

    line: PaidLine
    fate: Fate
    event: BursarPayment | None = None
    reason: Reason | None = None
    excess: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A line whose fine is known; `exported` is the sign of the exported line."""

    line: PaidLine
    fine_id: str
    exported: int


async def plan(
    connection: Connection, store: LedgerStore, target: Target, lines: Sequence[PaidLine]
) -> AsyncIterator[list[Planned]]:
    """Page after page, in the order of fines."""
    fine_ids, exported = await _fines_of(connection, target, lines)
    order = sorted(range(len(lines)), key=lambda place: (fine_ids[place] or "", lines[place].n))
    start = sum(fine_id is None for fine_id in fine_ids)
    for begin in range(0, start, PAGE_LINES):
        unknown = [lines[place] for place in order[begin : min(begin + PAGE_LINES, start)]]
        yield await _plan_unknown(connection, target, unknown)
    while start < len(order):
        end = _end_of_page(order, fine_ids, start)
        page = [
            Known(lines[place], fine_ids[place] or "", exported[place])
            for place in order[start:end]
        ]
        yield await with_current_schema(partial(_plan_page, connection, store, target, page))
        start = end


def _end_of_page(order: Sequence[int], fine_ids: Sequence[str | None], start: int) -> int:
    """Whole fines together, about PAGE_LINES lines."""
    end = min(start + PAGE_LINES, len(order))
    while end < len(order) and fine_ids[order[end]] == fine_ids[order[end - 1]]:
        end += 1
    return end


async def _fines_of(
    connection: Connection, target: Target, lines: Sequence[PaidLine]
) -> tuple[list[str | None], "array[int]"]:
    """Per line: its fine, None if unknown, and the sign its line was exported with."""
    fine_ids: list[str | None] = []
    signs = array("b")
    for begin in range(0, len(lines), PAGE_LINES):
        named = [one.bursar_transaction_id for one in lines[begin : begin + PAGE_LINES]]
        keys = {LineKey(target.institution_id, one) for one in named}
        rows = await connection.fetch(SQL["fines_of_lines"], *columns(keys, 2))
        found = {row["bursar_transaction_id"]: row for row in rows}
        for name in named:
            row = found.get(name)
            fine_ids.append(None if row is None else row["fine_id"])
            signs.append(0 if row is None else 1 if row["amount"] > 0 else -1)
    return fine_ids, signs


async def _known(connection: Connection, target: Target, lines: Sequence[PaidLine]) -> set[str]:
    ids = [target.payment_id(line.n) for line in lines]
    own = (target.institution_id, target.source)
    rows = await connection.fetch(SQL["known_payments"], *own, ids)
    return {row["payment_id"] for row in rows}


async def _plan_unknown(
    connection: Connection, target: Target, lines: Sequence[PaidLine]
) -> list[Planned]:
    """Published all the same: the service rejects them under their identity, visibly."""
    known = await _known(connection, target, lines)
    planned = []
    for line in lines:
        if target.payment_id(line.n) in known:
            planned.append(Planned(line, Fate.REPEAT))
            continue
        event = payment_event(target, line, None)
        planned.append(Planned(line, Fate.UNKNOWN, event, Reason.UNKNOWN_LINE))
    return planned


async def _plan_page(
    connection: Connection, store: LedgerStore, target: Target, page: Sequence[Known]
) -> list[Planned]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        known = await _known(connection, target, [one.line for one in page])
        new = [one for one in page if target.payment_id(one.line.n) not in known]
        past = await _reversible(connection, target, {one.fine_id for one in new})
        named = references(payment_event(target, one.line, None) for one in new)
        named.originals |= past.keys()  # with the credits of their excess
        accounts = await store.peek(connection, named)
        view = await store.view(connection, named, accounts)
    books = Books(view)
    candidates: dict[str, list[SourceKey]] = defaultdict(list)
    for payment in past.values():
        candidates[payment.fine_id or ""].append(payment.key)
    repeats = [
        Planned(one.line, Fate.REPEAT) for one in page if target.payment_id(one.line.n) in known
    ]
    return repeats + [_take(books, target, one, candidates) for one in new]


async def _reversible(
    connection: Connection, target: Target, fine_ids: set[str]
) -> dict[SourceKey, Payment]:
    own = (target.institution_id, target.source, sorted(fine_ids))
    rows = await connection.fetch(SQL["reversible_payments"], *own)
    return {value.key: value for value in map(records.payment, rows)}


def _take(
    books: Books, target: Target, known: Known, candidates: dict[str, list[SourceKey]]
) -> Planned:
    """One line through the rules; the other sign than the exported line's is a reversal."""
    line, fine_id = known.line, known.fine_id
    original: Payment | None = None
    if (line.amount > 0) != (known.exported > 0):
        original = _latest(books, candidates[fine_id], abs(line.amount))
        if original is None:
            return Planned(line, Fate.REJECTED, None, Reason.NO_MATCHING_PAYMENT)
    event = payment_event(target, line, original)
    rules.take(books, event)
    candidates[fine_id].append(event.key)
    payment = books.payments[event.key]
    fine = books.fines.get(FineKey(target.institution_id, fine_id))
    fate = _fate(payment, 0 if fine is None else fine.outstanding)
    return Planned(line, fate, event, payment.reason, payment.excess)


def _latest(books: Books, candidates: Sequence[SourceKey], amount: int) -> Payment | None:
    """The latest of the fine's payments with exactly this amount that is not yet reversed."""
    for payment in (books.payments[key] for key in reversed(candidates)):
        if (
            payment.amount == amount
            and payment.kind in (PaymentKind.PAYMENT, PaymentKind.WRITE_OFF)
            and payment.state in (ItemState.APPLIED, ItemState.NOTED)
            and payment.reversed_by is None
        ):
            return payment
    return None


def _fate(payment: Payment, outstanding: int) -> Fate:
    if payment.state is ItemState.REJECTED:
        return Fate.REJECTED
    if payment.state is ItemState.PARKED:
        return Fate.PARKED
    if payment.state is ItemState.NOTED:
        return Fate.NOTED
    if payment.kind is PaymentKind.REVERSAL:
        return Fate.REVERSED
    if payment.excess:
        return Fate.OVERPAID if payment.applied else Fate.NOT_OWED
    return Fate.PARTIAL if outstanding else Fate.PAID


def payment_event(target: Target, line: PaidLine, original: Payment | None) -> BursarPayment:
    """The line as the service will read it: the same bytes through the same parser."""
    event = parse(CONTRACT, origin_of(target, line, original))
    # Our own encoding of values that were read as sound.
    assert isinstance(event, BursarPayment)
    return event


def origin_of(target: Target, line: PaidLine, original: Payment | None) -> Origin:
    """The record to publish, in binary mode."""
    payment_id = target.payment_id(line.n)
    body: dict[str, object] = {
        "institution_id": target.institution_id,
        "source": target.source,
        "payment_id": payment_id,
        "kind": "payment" if original is None else "reversal",
        "bursar_transaction_id": line.bursar_transaction_id,
        "amount": format_minor(abs(line.amount), line.currency),
        "currency": line.currency,
        "paid_at": target.paid_at,
    }
    if original is not None:
        body["reverses_payment_id"] = original.key.id
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", payment_id.encode()),
        ("ce_source", f"/import/{target.source}".encode()),
        ("ce_type", b"org.bursar-bridge.bursar-payment.v1"),
        ("ce_time", target.paid_at.isoformat().encode()),
        ("content-type", b"application/json"),
    )
    key = f"{target.institution_id}/{line.bursar_transaction_id}".encode()
    return Origin(TOPIC, file_number(target), line.n, key, orjson.dumps(body), headers)


def file_number(target: Target) -> int:
    """A file's place in the rejected table beside other files, and other institutions': 28 bits."""
    own = sha256(f"{target.institution_id}/{target.sha256}".encode())
    return int(own.hexdigest()[:7], 16)


def earlier_file_number(target: Target) -> int:
    """The same as release 0.3.0 and those before it made it: of the digest alone."""
    return int(target.sha256[:7], 16)


def refusal_detail(reason: Reason) -> str:
    return rejected(reason).detail
