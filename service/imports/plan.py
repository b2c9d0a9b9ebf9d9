"""What a file from the bursar would do, line by line: the real rules on what is read, no lock.

Lines of one fine are looked at together and in the file's order, so the plan is what happens
unless somebody else is faster.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

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
    OVERPAID = "overpaid"
    REVERSED = "reversed"
    NOTED = "noted"
    PARKED = "parked"
    REPEAT = "repeat"
    UNKNOWN = "unknown"
    REJECTED = "rejected"

    @property
    def passes(self) -> bool:
        return self not in (Fate.UNKNOWN, Fate.REJECTED)


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
    """A line and its fate; `event` None: there is nothing to publish."""

    line: PaidLine
    fate: Fate
    event: BursarPayment | None = None
    reason: Reason | None = None


async def plan(
    connection: Connection, store: LedgerStore, target: Target, lines: Sequence[PaidLine]
) -> AsyncIterator[list[Planned]]:
    """Page after page, in the order of fines."""
    fines = await _fines_of(connection, target, lines)
    unknown = [line for line in lines if line.bursar_transaction_id not in fines]
    groups: dict[str, list[PaidLine]] = defaultdict(list)
    for line in lines:
        if line.bursar_transaction_id in fines:
            groups[fines[line.bursar_transaction_id][0]].append(line)
    for page in _pages(groups.values()):
        yield await _plan_page(connection, store, target, page, fines)
    for start in range(0, len(unknown), PAGE_LINES):
        yield await _plan_unknown(connection, target, unknown[start : start + PAGE_LINES])


def _pages(groups: Iterable[list[PaidLine]]) -> Iterable[list[PaidLine]]:
    """Whole fines together, about PAGE_LINES lines at a time."""
    page: list[PaidLine] = []
    for group in groups:
        page.extend(group)
        if len(page) >= PAGE_LINES:
            yield page
            page = []
    if page:
        yield page


async def _fines_of(
    connection: Connection, target: Target, lines: Sequence[PaidLine]
) -> dict[str, tuple[str, int]]:
    """By bursar id: the fine, and the amount its line was exported with."""
    found: dict[str, tuple[str, int]] = {}
    ids = iter(dict.fromkeys(line.bursar_transaction_id for line in lines))
    while page := list(islice(ids, PAGE_LINES)):
        keys = [LineKey(target.institution_id, one) for one in page]
        for row in await connection.fetch(SQL["fines_of_lines"], *columns(keys, 2)):
            found[row["bursar_transaction_id"]] = (row["fine_id"], row["amount"])
    return found


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
    connection: Connection,
    store: LedgerStore,
    target: Target,
    lines: Sequence[PaidLine],
    fines: Mapping[str, tuple[str, int]],
) -> list[Planned]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        known = await _known(connection, target, lines)
        new = [line for line in lines if target.payment_id(line.n) not in known]
        named = references(payment_event(target, line, None) for line in new)
        accounts = await store.peek(connection, named)
        view = await store.view(connection, named, accounts)
        past = await _reversible(
            connection, target, {fines[x.bursar_transaction_id][0] for x in new}
        )
    books = Books(replace(view, payments={**view.payments, **past}))
    candidates: dict[str, list[SourceKey]] = defaultdict(list)
    for payment in past.values():
        candidates[payment.fine_id or ""].append(payment.key)
    repeats = [Planned(line, Fate.REPEAT) for line in lines if target.payment_id(line.n) in known]
    return repeats + [
        _take(books, target, line, fines[line.bursar_transaction_id], candidates) for line in new
    ]


async def _reversible(
    connection: Connection, target: Target, fine_ids: set[str]
) -> dict[SourceKey, Payment]:
    own = (target.institution_id, target.source, sorted(fine_ids))
    rows = await connection.fetch(SQL["reversible_payments"], *own)
    return {value.key: value for value in map(records.payment, rows)}


def _take(
    books: Books,
    target: Target,
    line: PaidLine,
    known: tuple[str, int],
    candidates: dict[str, list[SourceKey]],
) -> Planned:
    """One line through the rules; the other sign than the exported line's is a reversal."""
    fine_id, exported = known
    original: Payment | None = None
    if (line.amount > 0) != (exported > 0):
        original = _latest(books, candidates[fine_id], abs(line.amount))
        if original is None:
            return Planned(line, Fate.REJECTED, None, Reason.NO_MATCHING_PAYMENT)
    event = payment_event(target, line, original)
    rules.take(books, event)
    candidates[fine_id].append(event.key)
    payment = books.payments[event.key]
    fine = books.fines.get(FineKey(target.institution_id, fine_id))
    fate = _fate(payment, 0 if fine is None else fine.outstanding)
    return Planned(line, fate, event, payment.reason)


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
        return Fate.OVERPAID
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
    return Origin(TOPIC, file_number(target.sha256), line.n, key, orjson.dumps(body), headers)


def file_number(sha256: str) -> int:
    """A file's place in the rejected table beside other files: 28 bits of its digest."""
    return int(sha256[:7], 16)


def refusal_detail(reason: Reason) -> str:
    return rejected(reason).detail
