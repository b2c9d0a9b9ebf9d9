"""Reads and writes adopted lines (rules.md, 5b): export lines that a recovery took over from Kafka
and that wait for their fines.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import asyncpg

from ..core.adopted import AdoptedLine, AdoptedState
from ..core.batches import ExportLine
from ..core.events import BursarPayment
from ..core.ledger import BatchKey, Fine, FineKey, LineKey
from ..core.terms import Terms
from ..core.words import LineState, Status
from ..core.workspace import View
from . import tables
from .references import References
from .session import Connection, statements
from .tables import Table, key_columns, members

SQL = statements("adopted")


class ReadsLedger(Protocol):
    """The methods for reading the ledger that this module calls; LedgerReader implements them."""

    async def fines_by_key(
        self, connection: Connection, keys: Collection[FineKey]
    ) -> dict[FineKey, Fine]:
        """Returns the fines with these keys that exist, by key."""

    async def terms_of(
        self, connection: Connection, rows: Sequence[asyncpg.Record]
    ) -> Mapping[tuple[str, str], Terms]:
        """Returns the terms (rules of a profile, kept from an export) that the rows name, and
        possibly others, by institution and id of the terms.
        """


ADOPTED_LINE: Table[AdoptedLine] = Table(
    "adopted_line",
    "key.institution_id key.bursar_transaction_id fine_id batch.profile batch.batch_number place"
    " amount currency status:fine_status terms:terms_id cutoff export_number patron_id state"
    " refused_reason refused_at",
    2,
    changing="state refused_reason refused_at",
    loaded={
        "fine_status": members(Status),
        "export_number": int,
        "state": members(AdoptedState),
    },
)


def adopted_line_of(row: asyncpg.Record, terms: Mapping[tuple[str, str], Terms]) -> AdoptedLine:
    """Returns the adopted line that a row of the table `adopted_line` describes; `terms` has the
    terms that the row names, by institution and id.
    """
    cells = ADOPTED_LINE.cells(row)
    home, line_id, fine_id, profile, batch_number, place, amount, currency, status, key = cells[:10]
    return AdoptedLine(
        LineKey(home, line_id),
        fine_id,
        BatchKey(home, profile, batch_number),
        place,
        amount,
        currency,
        status,
        terms[(home, key)],
        *cells[10:],
    )


async def lock_waiting_lines(connection: Connection, references: References) -> None:
    """Locks the waiting adopted lines that the events of a commit may change, in the order of the
    lines' keys, so that two commits cannot deadlock.

    Locks on accounts do not protect these lines: a response to a batch may change a line whose fine
    does not exist yet, and then locks no account, while another commit creates that fine and locks
    only its new account. Without a lock on the line itself, neither of two such commits would see
    what the other one changes.
    """
    await connection.execute(
        SQL["lock_waiting_lines"],
        *key_columns(references.fines | references.created.keys(), 2),
        *key_columns(references.lines, 2),
        *key_columns(references.batches, 3),
    )


async def reach_waiting_lines(
    connection: Connection,
    reader: ReadsLedger,
    references: References,
    locked: View,
    reached: set[FineKey],
) -> dict[LineKey, AdoptedLine]:
    """Returns all waiting adopted lines whose fines the events may change, and adds these fines to
    `reached`.

    The events may change the fines in `reached`, the fines that the events create, the fines of
    lines, batches and payments that the events name, and all fines of the locked accounts, because
    waiting payments of these accounts may be tried again. For each such fine, its credits, and the
    fine that it is a credit of, count as well. An existing fine whose account is not locked is not
    added, because a credit that names a fine of another patron has no effect on it. The caller
    calls this only if any adopted line waits.
    """
    rows = await connection.fetch(
        SQL["waiting_lines"],
        *key_columns(reached | references.created.keys(), 2),
        *key_columns(references.lines, 2),
        *key_columns(references.batches, 3),
        *key_columns(references.sums | locked.accounts.keys(), 3),
        *key_columns(references.credited, 2),
    )
    terms = await reader.terms_of(connection, rows)
    lines = [adopted_line_of(row, terms) for row in rows]
    keys = {line.fine for line in lines}
    fines = await reader.fines_by_key(connection, keys)
    foreign = {key for key, fine in fines.items() if fine.facts.account not in locked.accounts}
    reached |= keys - foreign
    return {line.key: line for line in lines}


async def lines_beside(
    connection: Connection,
    payments: Collection[BursarPayment],
    adopted: Mapping[LineKey, AdoptedLine],
    fines: Mapping[FineKey, Fine],
    lines: Mapping[LineKey, ExportLine],
) -> dict[LineKey, ExportLine]:
    """Returns further lines that the rules need beside `lines`: the live lines of fines for which
    an adopted line waits, and waiting adopted lines that parked payments name.
    """
    read = {*lines, *adopted}
    named = {key for payment in payments if (key := payment.line_key) is not None} - read
    live = {
        key
        for line in adopted.values()
        if line.fine in fines and (key := fines[line.fine].line_key) is not None
    } - read
    rows = await connection.fetch(SQL["waiting_lines_named"], *key_columns(named, 2))
    live_rows = await connection.fetch(
        statements("ledger")["read_export_line"], *key_columns(live, 2)
    )
    rows_of_lines = [*map(_line_of, rows), *map(tables.LINE.value, live_rows)]
    return {line.key: line for line in rows_of_lines}


def _line_of(row: asyncpg.Record) -> ExportLine:
    home = row["institution_id"]
    return ExportLine(
        LineKey(home, row["bursar_transaction_id"]),
        row["fine_id"],
        BatchKey(home, row["profile"], row["batch_number"]),
        row["amount"],
        row["currency"],
        LineState.WAITING,
    )


async def fines_with_adopted_lines(
    connection: Connection, institution_id: str, fines: Sequence[Fine]
) -> frozenset[str]:
    """Returns the ids of those of the fines that may not be exported because of waiting adopted
    lines: fines for which such a line waits, and credits, if the line of a credit waits that
    belongs to the same account or may belong to it.
    """
    facts = [fine.facts for fine in fines]
    ids = [each.fine_id for each in facts]
    credited = [(f.fine_id, f.patron_id, f.currency) for f in facts if f.amount < 0]
    columns = key_columns(credited, 3)
    rows = await connection.fetch(SQL["fines_with_adopted_lines"], institution_id, ids, *columns)
    return frozenset(row["fine_id"] for row in rows)


class WaitingCount(NamedTuple):
    """How many adopted lines wait for their fines, and how many open fines are not exported because
    such a line waits for them.
    """

    lines: int
    of_open_fines: int


async def count_waiting_lines(connection: Connection) -> WaitingCount:
    """Counts the adopted lines that wait for their fines."""
    row = await connection.fetchrow(SQL["waiting_lines_counted"])
    assert row is not None
    return WaitingCount(*row.values())


async def recovery_is_open(connection: Connection) -> bool:
    """Whether a recovery of a restored database was begun and has not ended; until it ends, nothing
    may be exported.
    """
    is_open: bool = await connection.fetchval(SQL["recovery_is_open"])
    return is_open


async def write_adopted_lines(connection: Connection, lines: Collection[AdoptedLine]) -> None:
    """Writes adopted lines that the rules have changed to the database: their state, and why and
    when they were refused.
    """
    if lines:
        cells = zip(*map(ADOPTED_LINE.changed_row, lines), strict=True)
        await connection.execute(SQL["write_adopted_line"], *map(list, cells))
