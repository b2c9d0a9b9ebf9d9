"""Export lines that a recovery has taken over from Kafka (adopted lines) and that wait for their
fines: gives them to fines that match, and carries out what people decide about the others
(rules.md, 5b).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import asyncpg

from ..apply.applier import Applier
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
)
from ..core.events import DropLine, GiveLine, TakeLines
from ..core.ledger import AccountKey, FineKey, LineKey
from ..core.money import format_minor
from ..core.taking import LineNotGiven
from ..core.words import Status
from ..database.references import references_of
from ..database.session import Connection, statements
from ..database.tables import key_columns

SQL, LEDGER = statements("adopted"), statements("ledger")

# Each commit locks so many accounts at most, and writes so many transactions for them.
PAGE_FINES = 500
LIMIT_MAX = 1_000_000
_BEGIN = (0, "", -1)

TAKE, DROP = "adopted_line_take", "adopted_line_drop"


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which adopted lines a command is about; a field that is None allows any value."""

    institution_id: str | None = None
    profile: str | None = None
    batch_number: int | None = None
    fine_id: str | None = None
    limit: int = LIMIT_MAX
    line_id: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """An adopted line that waits for its fine, with the state of the fine if the fine is known.
    Amounts are in signed minor units.

    `in_words` says why the fine does not count as exported by this line yet. `parked` is the number
    of parked records that wait for the same fine.
    """

    key: LineKey
    fine: FineKey
    profile: str
    batch_number: int
    amount: int
    currency: str
    cutoff: datetime
    refused_reason: str | None
    patron_id: str | None
    fine_status: Status | None
    remaining: int | None
    parked: int
    in_words: str


async def take_lines_of_known_fines(applier: Applier) -> int:
    """Gives adopted lines to their fines where the fine is known, is Active, and has exactly the
    amount of the line left: such a fine then counts as exported by the line.

    No new record from Kafka is needed for this: a fine that was open at the time of the backup and
    was exported later is in the restored ledger as it was before its export. Each page of fines is
    one commit. Returns the number of ledger transactions that were made; a repeated call makes none
    and returns 0.
    """
    transactions, after = 0, _BEGIN
    while rows := await _page(applier, after):
        fines = [FineKey(row["institution_id"], row["fine_id"]) for row in rows]
        transactions += await _take_all(applier, fines)
        last = rows[-1]
        after = (int(last["export_number"]), last["institution_id"], last["place"])
    return transactions


async def _take_all(applier: Applier, fines: Sequence[FineKey]) -> int:
    events = [TakeLines(fine) for fine in fines]
    references = references_of(events)

    async def work(connection: Connection) -> int:
        changes = await applier.apply_events(connection, references, events)
        return len(changes.transactions)

    transactions = await applier.run_in_transaction(work)
    applier.committed()
    return transactions


async def _page(applier: Applier, after: tuple[int, str, int]) -> Sequence[asyncpg.Record]:
    """The fines of one export number at most, because the order of exports decides about sums."""
    async with applier.writer.pool.acquire() as connection:
        rows = await connection.fetch(SQL["known_fines_with_lines"], *after, PAGE_FINES)
    for count, (row, following) in enumerate(pairwise(rows), start=1):
        if row["export_number"] != following["export_number"]:
            return rows[:count]
    return rows


async def let_credits_wait(applier: Applier) -> int:
    """Holds back credits that a change in the library may have made by mistake, because the change
    came before the export of its fine; a person then has to decide about these credits.

    After a restore, a fine may take its adopted line before the service has read again an older
    change of that fine. When the older change is read again, it makes a credit, if the fine's terms
    say so, although the exported amount already contained that change. Returns the number of
    credits that are held back.
    """

    async def work(connection: Connection) -> int:
        rows = await connection.fetch(SQL["doubtful_credits"])
        if rows:
            accounts = sorted({AccountKey(*list(row.values())[:3]) for row in rows})
            await connection.fetch(LEDGER["lock_accounts"], *key_columns(accounts, 3))
            fines = [FineKey(row["institution_id"], row["fine_id"]) for row in rows]
            await connection.execute(SQL["let_credits_wait"], *key_columns(fines, 2))
        return len(rows)

    waiting = await applier.run_in_transaction(work)
    applier.committed()
    return waiting


async def waiting_lines(connection: Connection, selected: LineFilter) -> list[WaitingLine]:
    """Returns the adopted lines that wait, in the order of their exports."""
    rows = await connection.fetch(
        SQL["waiting_lines_listed"],
        selected.institution_id,
        selected.profile,
        selected.batch_number,
        selected.fine_id,
        selected.line_id,
        selected.limit,
    )
    return [_waiting_line(row) for row in rows]


def _waiting_line(row: asyncpg.Record) -> WaitingLine:
    home = row["institution_id"]
    status = None if row["status"] is None else Status(row["status"])
    return WaitingLine(
        LineKey(home, row["bursar_transaction_id"]),
        FineKey(home, row["fine_id"]),
        row["profile"],
        row["batch_number"],
        row["amount"],
        row["currency"],
        row["cutoff"],
        row["refused_reason"],
        row["patron_id"],
        status,
        row["remaining"],
        row["parked_records"],
        _in_words(row, status),
    )


def _in_words(row: asyncpg.Record, status: Status | None) -> str:
    """Why the fine has not taken the line."""
    if status is None:
        return "its fine is not known: its fine-created was not read again so far"
    if row["other_line"] is not None:
        return f"its fine has the line {row['other_line']}, which was not refused"
    if status is Status.IN_DISPUTE:
        return "its fine is in dispute"
    if status is Status.CLOSED:
        return "its fine is closed in the library"
    if row["fine_currency"] != row["currency"]:
        return "its fine has another currency"
    if row["remaining"] != row["amount"]:
        remaining = format_minor(row["remaining"], row["currency"])
        return f"{remaining} remains of its fine, and the line has another amount"
    if row["is_behind_older"]:
        return "an older line waits for its fine"
    if row["is_behind_credited"]:
        return "a line of the fine that it credits waits, too"
    return "its fine takes it when the service reads again (`bursar-bridge run`)"


async def take(applier: Applier, line: WaitingLine, why: Justification) -> DecisionResult:
    """Marks the fine as exported by the adopted line; before that, the amount of the fine is
    adjusted so that exactly the line's amount remains.
    """
    return await _decide(applier, line, TAKE, GiveLine(line.key, line.fine), "taken", why)


async def drop(applier: Applier, line: WaitingLine, why: Justification) -> DecisionResult:
    """Gives an adopted line up: the line counts as refused by the bursar, and runs may export its
    fine again.
    """
    return await _decide(applier, line, DROP, DropLine(line.key, line.fine), "dropped", why)


async def _decide(
    applier: Applier,
    line: WaitingLine,
    action: str,
    event: GiveLine | DropLine,
    outcome: str,
    why: Justification,
) -> DecisionResult:
    async def work(connection: Connection) -> str:
        try:
            await applier.apply_events(connection, references_of((event,)), (event,))
        except LineNotGiven as problem:
            raise DecisionNotPossible(str(problem)) from None
        return outcome

    home, fine_id = line.fine
    subject: Subject = {
        "institution_id": home,
        "fine_id": fine_id,
        "bursar_transaction_id": line.key.bursar_transaction_id,
    }
    return await carry_out(applier, Decision(action, home, subject, why), work)
