"""Adopted lines in PostgreSQL: those that wait, as far as events may reach them (rules.md, 5b)."""

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
    """What has to be read of the ledger for adopted lines."""

    async def fines_by_key(
        self, connection: Connection, keys: Collection[FineKey]
    ) -> dict[FineKey, Fine]:
        """Returns those of the fines that are known, by key."""

    async def terms_of(
        self, connection: Connection, rows: Sequence[asyncpg.Record]
    ) -> Mapping[tuple[str, str], Terms]:
        """Returns at least the terms that the rows name, by institution and id."""


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
    """Returns the adopted line of a row; `terms` are those of the row, by institution and id."""
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
    """Locks the lines that wait and that the referring events may change, in the order of their
    keys.

    An answer to a batch changes a line whose fine is not known, and holds no account for it; the
    record that creates the fine holds the account that it inserts. Both would change what the other
    one does not see.
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
    """Returns all lines that wait for a fine which the events may reach, and adds these fines to
    `reached`.

    Beside those that are `reached` already, these are the fines that the events create, those of
    the lines, batches and sums that the events name, and those of the locked accounts, of which
    waiting sums may be tried; and for each of these its credits and the fine that it is a credit
    of. Fines that are known and of an account that is not locked are not added: a credit may name a
    fine of another patron, which means nothing. The caller asks only if a line waits.
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
    """Returns what is needed beside the `lines` that were read: the live lines of fines for which
    newer lines wait, and lines that parked payments name and that wait for other fines.
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
    """Returns the ids of those of the fines for which a line waits."""
    ids = [fine.facts.fine_id for fine in fines]
    rows = await connection.fetch(SQL["fines_with_adopted_lines"], institution_id, ids)
    return frozenset(row["fine_id"] for row in rows)


class WaitingCount(NamedTuple):
    """How many lines wait, and how many of them for a fine that is open in the library."""

    lines: int
    of_open_fines: int


async def count_waiting_lines(connection: Connection) -> WaitingCount:
    """Counts the lines that wait."""
    row = await connection.fetchrow(SQL["waiting_lines_counted"])
    assert row is not None
    return WaitingCount(*row.values())


async def recovery_is_open(connection: Connection) -> bool:
    """Whether a recovery has not ended: then nothing may be exported."""
    is_open: bool = await connection.fetchval(SQL["recovery_is_open"])
    return is_open


async def write_adopted_lines(connection: Connection, lines: Collection[AdoptedLine]) -> None:
    """Writes what a fold has changed of adopted lines."""
    if lines:
        cells = zip(*map(ADOPTED_LINE.changed_row, lines), strict=True)
        await connection.execute(SQL["write_adopted_line"], *map(list, cells))
