"""What a file from the bursar would do, line by line: the real rules on what is read, no lock.

Lines of one fine are looked at together and in the file's order, so the plan is what happens
unless somebody else is faster.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from ..core import rules
from ..core.events import BursarPayment
from ..core.ledger import FineKey, LineKey, Payment, SourceKey
from ..core.outcomes import rejected
from ..core.words import ItemState, KnownLines, PaymentKind, Reason, Wait
from ..core.workspace import Workspace
from ..database.ledger_read import LedgerReader, key_columns
from ..database.references import references_of
from ..database.session import Connection, statements
from ..database.tables import PAYMENT
from ..export.xml.read import PaidLine
from ..runtime.failures import with_current_schema
from .lines import Target, payment_event

PAGE_LINES = 1_000

SQL = statements("imports")


class Fate(StrEnum):
    """What would become of a line."""

    PAID = "paid"
    PARTIAL = "partial"
    OVERPAID = "overpaid"  # the part that is outstanding is paid, the rest becomes a credit
    NOT_OWED = "not_owed"  # nothing is outstanding, all of it becomes a credit: paid before?
    HELD = "held"  # more than is outstanding: all of it waits for a person
    REVERSED = "reversed"
    NOTED = "noted"
    PARKED = "parked"
    REPEAT = "repeat"
    IMPORTED_FROM_ANOTHER_FILE = "imported_from_another_file"  # the same line, counted once
    AMBIGUOUS = "ambiguous"  # so it has, but the line could also be a further payment
    UNKNOWN = "unknown"
    REJECTED = "rejected"

    @property
    def passes(self) -> bool:
        return self not in (Fate.UNKNOWN, Fate.REJECTED, Fate.AMBIGUOUS)

    @property
    def overpays(self) -> bool:
        return self in (Fate.OVERPAID, Fate.NOT_OWED, Fate.HELD)


LineSort = tuple[str, str, int]  # bursar id, kind of the payment, amount in minor units


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
    connection: Connection,
    store: LedgerReader,
    target: Target,
    lines: Sequence[PaidLine],
    known_lines: KnownLines = KnownLines.REFUSE,
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
        yield await with_current_schema(
            partial(_plan_page, connection, store, target, page, known_lines)
        )
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
        rows = await connection.fetch(SQL["fines_of_lines"], *key_columns(keys, 2))
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
    connection: Connection,
    store: LedgerReader,
    target: Target,
    page: Sequence[Known],
    known_lines: KnownLines,
) -> list[Planned]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        known = await _known(connection, target, [entry.line for entry in page])
        new = [entry for entry in page if target.payment_id(entry.line.n) not in known]
        fine_ids = {entry.fine_id for entry in new}
        elsewhere = Counter[LineSort]()
        if known_lines is not KnownLines.PAY:
            elsewhere = await _of_other_files(connection, target, fine_ids)
        past = await _reversible(connection, target, fine_ids)
        named = references_of(payment_event(target, entry.line, None) for entry in new)
        named.originals |= past.keys()  # with the credits of their excess
        accounts = await store.peek(connection, named)
        view = await store.view(connection, named, accounts)
    workspace = Workspace(view)
    candidates: dict[str, list[SourceKey]] = defaultdict(list)
    for payment in past.values():
        candidates[payment.fine_id or ""].append(payment.key)
    repeats = [
        Planned(entry.line, Fate.REPEAT)
        for entry in page
        if target.payment_id(entry.line.n) in known
    ]
    page_rules = _PageRules(workspace, target, candidates, elsewhere, known_lines)
    return repeats + [page_rules.take(entry) for entry in new]


async def _of_other_files(
    connection: Connection, target: Target, fine_ids: set[str]
) -> Counter[LineSort]:
    rows = await connection.fetch(
        SQL["lines_of_other_files"], target.institution_id, target.id_range[0], sorted(fine_ids)
    )
    return Counter(
        {
            (row["bursar_transaction_id"], row["kind"], row["amount"]): row["payments"]
            for row in rows
        }
    )


async def _reversible(
    connection: Connection, target: Target, fine_ids: set[str]
) -> dict[SourceKey, Payment]:
    own = (target.institution_id, target.source, sorted(fine_ids))
    rows = await connection.fetch(SQL["reversible_payments"], *own)
    return {value.key: value for value in map(PAYMENT.value, rows)}


@dataclass(slots=True)
class _PageRules:
    """Lines of one page through the rules; `elsewhere` counts what other files have brought."""

    workspace: Workspace
    target: Target
    candidates: dict[str, list[SourceKey]]
    elsewhere: Counter[LineSort]
    known_lines: KnownLines

    def take(self, known: Known) -> Planned:
        """The other sign than the exported line's is a reversal."""
        line, amount = known.line, abs(known.line.amount)
        is_reversal = (line.amount > 0) != (known.exported > 0)
        original = None
        if is_reversal:
            original = _latest(self.workspace, self.candidates[known.fine_id], amount)
        if self._is_of_another_file(line, is_reversal):
            could_count = original is not None if is_reversal else self._owes(known, amount)
            is_ambiguous = could_count and self.known_lines is KnownLines.REFUSE
            known_fate = Fate.AMBIGUOUS if is_ambiguous else Fate.IMPORTED_FROM_ANOTHER_FILE
            return Planned(line, known_fate)
        if is_reversal and original is None:
            return Planned(line, Fate.REJECTED, None, Reason.NO_MATCHING_PAYMENT)
        return self._decide(known, original)

    def _is_of_another_file(self, line: PaidLine, is_reversal: bool) -> bool:
        """Each payment of another file stands for one line of this one, the first ones first."""
        kind = PaymentKind.REVERSAL if is_reversal else PaymentKind.PAYMENT
        sort = (line.bursar_transaction_id, kind.value, abs(line.amount))
        if not self.elsewhere[sort]:
            return False
        self.elsewhere[sort] -= 1
        return True

    def _owes(self, known: Known, amount: int) -> bool:
        fine = self.workspace.fines.get(FineKey(self.target.institution_id, known.fine_id))
        return fine is not None and abs(fine.outstanding) >= amount

    def _decide(self, known: Known, original: Payment | None) -> Planned:
        workspace, line = self.workspace, known.line
        event = payment_event(self.target, line, original)
        rules.take(workspace, event)
        self.candidates[known.fine_id].append(event.key)
        payment = workspace.payments[event.key]
        waiting = workspace.parked.get(("payment", event.key))
        if waiting is not None and waiting.wait is Wait.OVERPAID_HELD:
            return Planned(line, Fate.HELD, event)
        fine = workspace.fines.get(FineKey(self.target.institution_id, known.fine_id))
        fate = _fate(payment, 0 if fine is None else fine.outstanding)
        return Planned(line, fate, event, payment.reason, payment.excess)


def _latest(workspace: Workspace, candidates: Sequence[SourceKey], amount: int) -> Payment | None:
    """The latest of the fine's payments with exactly this amount that is not yet reversed."""
    for payment in (workspace.payments[key] for key in reversed(candidates)):
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


def refusal_detail(reason: Reason) -> str:
    return rejected(reason).detail
