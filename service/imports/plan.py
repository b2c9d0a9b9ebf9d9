"""Works out, by the same rules as the service, what each line of a bursar's payment file would do
if the file were imported.

Lines that pay the same fine are decided together, in the order in which the file has them. Planning
locks no rows, so the service may decide otherwise if a fine changes before its line is applied.
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
from ..core.reversals import amount_left
from ..core.words import ItemState, KnownLines, PaymentKind, Reason, Wait
from ..core.workspace import Workspace
from ..database.ledger_read import LedgerReader
from ..database.references import references_of
from ..database.session import Connection
from ..database.tables import PAYMENT, key_columns
from ..export.xml.read import PaidLine
from ..runtime.failures import with_current_schema
from .files import SQL, PaymentFile, payment_event
from .waiting import has_effect, owed_on_line

PAGE_LINES = 1_000


class LineOutcome(StrEnum):
    """What would become of a line of a payment file if the file were imported."""

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
        """Whether the service would accept the line, at once or after the line has waited."""
        return self not in (LineOutcome.UNKNOWN, LineOutcome.REJECTED, LineOutcome.AMBIGUOUS)

    @property
    def overpays(self) -> bool:
        """Whether the line pays more than its fine still owes at the bursar."""
        return self in (LineOutcome.OVERPAID, LineOutcome.NOT_OWED, LineOutcome.HELD)


LineSort = tuple[str, str, int]  # bursar id, kind of the payment, amount in minor units


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A line of a payment file, and what would become of it. `event` is the payment to publish for
    the line; None if nothing is to be published.

    `excess` is the part of an over-payment that becomes a credit, in minor units.
    """

    line: PaidLine
    outcome: LineOutcome
    event: BursarPayment | None = None
    reason: Reason | None = None
    excess: int = 0


@dataclass(frozen=True, slots=True)
class MatchedLine:
    """A line of a payment file whose fine is known; `exported` is the sign, 1 or -1, of the amount
    with which the fine was exported.
    """

    line: PaidLine
    fine_id: str
    exported: int


async def plan(
    connection: Connection,
    store: LedgerReader,
    file: PaymentFile,
    lines: Sequence[PaidLine],
    known_lines: KnownLines = KnownLines.REFUSE,
) -> AsyncIterator[list[PlannedLine]]:
    """Yields the outcomes of all lines of the file, page by page, sorted by their fines.

    `known_lines` says what to do with a line that another imported file has contained as well.
    """
    fine_ids, exported = await _fines_of(connection, file, lines)
    order = sorted(range(len(lines)), key=lambda place: (fine_ids[place] or "", lines[place].n))
    start = sum(fine_id is None for fine_id in fine_ids)
    for begin in range(0, start, PAGE_LINES):
        unknown = [lines[place] for place in order[begin : min(begin + PAGE_LINES, start)]]
        yield await _plan_unknown(connection, file, unknown)
    while start < len(order):
        end = _end_of_page(order, fine_ids, start)
        page = [
            MatchedLine(lines[place], fine_ids[place] or "", exported[place])
            for place in order[start:end]
        ]
        yield await with_current_schema(
            partial(_plan_page, connection, store, file, page, known_lines)
        )
        start = end


def _end_of_page(order: Sequence[int], fine_ids: Sequence[str | None], start: int) -> int:
    """Whole fines together, about PAGE_LINES lines."""
    end = min(start + PAGE_LINES, len(order))
    while end < len(order) and fine_ids[order[end]] == fine_ids[order[end - 1]]:
        end += 1
    return end


async def _fines_of(
    connection: Connection, file: PaymentFile, lines: Sequence[PaidLine]
) -> tuple[list[str | None], "array[int]"]:
    """The fine of each line, None if it is unknown, and the sign of the exported line."""
    fine_ids: list[str | None] = []
    signs = array("b")
    for begin in range(0, len(lines), PAGE_LINES):
        names = [line.bursar_transaction_id for line in lines[begin : begin + PAGE_LINES]]
        keys = {LineKey(file.institution_id, name) for name in names}
        rows = await connection.fetch(SQL["fines_of_lines"], *key_columns(keys, 2))
        by_name = {row["bursar_transaction_id"]: row for row in rows}
        for row in map(by_name.get, names):
            fine_ids.append(None if row is None else row["fine_id"])
            signs.append(0 if row is None else 1 if row["amount"] > 0 else -1)
    return fine_ids, signs


async def _known(connection: Connection, file: PaymentFile, lines: Sequence[PaidLine]) -> set[int]:
    """The numbers of lines whose payment is known, from an earlier import of the same file."""
    numbers = {file.payment_id(line.n): line.n for line in lines}
    rows = await connection.fetch(
        SQL["known_payments"], file.institution_id, file.source, list(numbers)
    )
    return {numbers[row["payment_id"]] for row in rows}


async def _plan_unknown(
    connection: Connection, file: PaymentFile, lines: Sequence[PaidLine]
) -> list[PlannedLine]:
    """Such lines are published, too, so that the service rejects them under their identity."""
    known = await _known(connection, file, lines)
    outcome, reason = LineOutcome.UNKNOWN, Reason.UNKNOWN_LINE
    return [
        PlannedLine(line, LineOutcome.REPEAT)
        if line.n in known
        else PlannedLine(line, outcome, payment_event(file, line, None), reason)
        for line in lines
    ]


async def _plan_page(
    connection: Connection,
    store: LedgerReader,
    file: PaymentFile,
    page: Sequence[MatchedLine],
    known_lines: KnownLines,
) -> list[PlannedLine]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        known = await _known(connection, file, [entry.line for entry in page])
        new = [entry for entry in page if entry.line.n not in known]
        fine_ids = {entry.fine_id for entry in new}
        elsewhere = Counter[LineSort]()
        if known_lines is not KnownLines.PAY:
            elsewhere = await _of_other_files(connection, file, fine_ids)
        past = await _reversible(connection, file, fine_ids)
        named = references_of(payment_event(file, entry.line, None) for entry in new)
        named.originals |= past.keys()  # with the credits of their excess
        accounts = await store.peek(connection, named)
        view = await store.view(connection, named, accounts)
    workspace = Workspace(view)
    candidates: dict[str, list[SourceKey]] = defaultdict(list)
    for payment in past.values():
        candidates[payment.fine_id or ""].append(payment.key)
    repeats = [
        PlannedLine(entry.line, LineOutcome.REPEAT) for entry in page if entry.line.n in known
    ]
    page_rules = _PageRules(workspace, file, candidates, elsewhere, known_lines)
    return repeats + [page_rules.take(entry) for entry in new]


async def _of_other_files(
    connection: Connection, file: PaymentFile, fine_ids: set[str]
) -> Counter[LineSort]:
    rows = await connection.fetch(
        SQL["lines_of_other_files"], file.institution_id, file.id_range[0], sorted(fine_ids)
    )
    return Counter(
        {
            (row["bursar_transaction_id"], row["kind"], row["amount"]): row["payments"]
            for row in rows
        }
    )


async def _reversible(
    connection: Connection, file: PaymentFile, fine_ids: set[str]
) -> dict[SourceKey, Payment]:
    key = (file.institution_id, file.source, sorted(fine_ids))
    rows = await connection.fetch(SQL["reversible_payments"], *key)
    return {value.key: value for value in map(PAYMENT.value, rows)}


@dataclass(slots=True)
class _PageRules:
    """Decides the lines of one page; `elsewhere` counts the payments that other files brought."""

    workspace: Workspace
    file: PaymentFile
    candidates: dict[str, list[SourceKey]]
    elsewhere: Counter[LineSort]
    known_lines: KnownLines

    def take(self, known: MatchedLine) -> PlannedLine:
        """A line whose sign is not that of the exported amount is a reversal."""
        line, amount = known.line, abs(known.line.amount)
        is_reversal = (line.amount > 0) != (known.exported > 0)
        original = None
        if is_reversal:
            original = _latest(self.workspace, self.candidates[known.fine_id], amount)
        if self._is_of_another_file(line, is_reversal):
            could_count = original is not None if is_reversal else self._owes(known, amount)
            is_ambiguous = could_count and self.known_lines is KnownLines.REFUSE
            if is_ambiguous:
                return PlannedLine(line, LineOutcome.AMBIGUOUS)
            return PlannedLine(line, LineOutcome.IMPORTED_FROM_ANOTHER_FILE)
        if is_reversal and original is None:
            return PlannedLine(line, LineOutcome.REJECTED, None, Reason.NO_MATCHING_PAYMENT)
        return self._decide(known, original)

    def _is_of_another_file(self, line: PaidLine, is_reversal: bool) -> bool:
        """Each payment of another file stands for one line of this file, in the file's order."""
        kind = PaymentKind.REVERSAL if is_reversal else PaymentKind.PAYMENT
        key = (line.bursar_transaction_id, kind.value, abs(line.amount))
        if not self.elsewhere[key]:
            return False
        self.elsewhere[key] -= 1
        return True

    def _owes(self, known: MatchedLine, amount: int) -> bool:
        home = self.file.institution_id
        fine = self.workspace.fines.get(FineKey(home, known.fine_id))
        outstanding = 0 if fine is None else abs(fine.outstanding)
        named = LineKey(home, known.line.bursar_transaction_id)
        return max(outstanding, owed_on_line(self.workspace, named)) >= amount

    def _decide(self, known: MatchedLine, original: Payment | None) -> PlannedLine:
        workspace, line = self.workspace, known.line
        event = payment_event(self.file, line, original)
        rules.take(workspace, event)
        self.candidates[known.fine_id].append(event.key)
        payment = workspace.payments[event.key]
        waiting = workspace.parked.get(("payment", event.key))
        if waiting is not None and waiting.wait is Wait.OVERPAID_HELD:
            return PlannedLine(line, LineOutcome.HELD, event)
        fine = workspace.fines.get(FineKey(self.file.institution_id, known.fine_id))
        outcome = _outcome(payment, 0 if fine is None else fine.outstanding)
        return PlannedLine(line, outcome, event, payment.reason, payment.excess)


def _latest(workspace: Workspace, candidates: Sequence[SourceKey], amount: int) -> Payment | None:
    """The latest of the fine's payments with exactly this amount of which nothing is reversed."""
    for payment in (workspace.payments[key] for key in reversed(candidates)):
        if (
            payment.amount == amount
            and payment.kind.settlement is not None
            and has_effect(workspace, payment)
            and amount_left(payment) == amount
        ):
            return payment
    return None


def _outcome(payment: Payment, outstanding: int) -> LineOutcome:
    if payment.state is ItemState.REJECTED:
        return LineOutcome.REJECTED
    if payment.state is ItemState.PARKED:
        return LineOutcome.PARKED
    if payment.state is ItemState.NOTED:
        return LineOutcome.NOTED
    if payment.kind is PaymentKind.REVERSAL:
        return LineOutcome.REVERSED
    if payment.excess:
        return LineOutcome.OVERPAID if payment.applied else LineOutcome.NOT_OWED
    return LineOutcome.PARTIAL if outstanding else LineOutcome.PAID
