"""One fold's changes into the tables: one statement or COPY per table, in the lock order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..core.events import Rejection
from ..core.ledger import Terms
from ..core.words import Reason
from ..core.workspace import Changes
from . import rows
from .session import Connection, run_in_thread, statements

CHANGE_COLUMNS = "institution_id source change_id digest state fine_id reason".split()
RESPONSE_COLUMNS = (
    "institution_id source response_id digest profile batch_number state reason"
    " outcome lines responded_at recorded_at"
).split()
LINE_COLUMNS = (
    "institution_id bursar_transaction_id fine_id profile batch_number amount currency state reason"
).split()
NOT_KNOWN = (Reason.UNKNOWN_LINE, Reason.UNKNOWN_BATCH)
LOAN_COLUMNS = "institution_id loan_id patron_id fine_id batch_number closed_at".split()


async def write(connection: Connection, changes: Changes, recorded_at: datetime) -> None:
    """Everything of the ledger, under the accounts' locks; the outbox comes after it."""
    await _write_accounts(connection, changes)
    await _write_patrons(connection, changes, recorded_at)
    await put_terms(connection, _terms_of(changes))
    await _write_fines(connection, changes)
    await _write_payments(connection, changes)
    await _write_changes(connection, changes)
    await _write_responses(connection, changes, recorded_at)
    await _write_lines(connection, changes)
    await _write_parked(connection, changes, recorded_at)
    await _write_loans(connection, changes)
    transactions = await run_in_thread(
        connection, len(changes.transactions), lambda: transaction_rows(changes, recorded_at)
    )
    await copy(connection, "ledger_transaction", rows.TRANSACTION_COLUMNS, transactions)
    await copy(connection, "transaction_text", rows.TEXT_COLUMNS, _text_rows(changes))
    await put_rejected(connection, changes.rejections, recorded_at)


def transaction_rows(changes: Changes, recorded_at: datetime) -> list[tuple[Any, ...]]:
    return [rows.transaction_row(value, recorded_at) for value in changes.transactions]


def _text_rows(changes: Changes) -> list[tuple[Any, ...]]:
    texts = map(rows.text_row, changes.transactions)
    return [row for row in texts if row is not None]


def rejected_rows(rejections: Sequence[Rejection]) -> list[tuple[Any, ...]]:
    return [rows.rejection_row(value) for value in rejections]


async def put_rejected(
    connection: Connection, rejections: Sequence[Rejection], recorded_at: datetime
) -> None:
    """The database's row comes first, the topic is a copy."""
    places = [(*value.origin[:3], value.origin.key, value.origin.value) for value in rejections]
    await _execute(connection, "move_earlier_rejected", places)
    await _execute(connection, "put_rejected", rejected_rows(rejections), recorded_at)


async def explained(connection: Connection, changes: Changes) -> Changes:
    """Adds to the details of unknown lines and batches where the institution has no profile.

    Otherwise the sender looks for a typing error in an id, where nothing is exported at all.
    """
    asked = {
        v.institution_id for v in changes.rejections if v.reason in NOT_KNOWN and v.institution_id
    }
    if not asked:
        return changes
    rows = await connection.fetch(
        statements("export")["institutions_without_profiles"], sorted(asked)
    )
    without = {row["institution_id"] for row in rows}
    return replace(
        changes,
        rejections=tuple(
            replace(value, detail=f"{value.detail}; institution_id: has no profile here")
            if value.reason in NOT_KNOWN and value.institution_id in without
            else value
            for value in changes.rejections
        ),
    )


async def places_of_others(
    connection: Connection, rejections: Sequence[Rejection]
) -> frozenset[tuple[str, int, int]]:
    """Topic, partition and offset of those that had another record before."""
    if not rejections:
        return frozenset()
    columns = [list(column) for column in zip(*(v.origin[:3] for v in rejections), strict=True)]
    rows = await connection.fetch(statements("ledger")["places_of_others"], *columns)
    return frozenset((row["topic"], row["partition"], row["record_offset"]) for row in rows)


async def put_terms(connection: Connection, terms: Iterable[tuple[str, Terms]]) -> None:
    found = {(owner, rows.terms_id(value), rows.terms_text(value)) for owner, value in terms}
    await _execute(connection, "put_terms", sorted(found))


def _terms_of(changes: Changes) -> list[tuple[str, Terms]]:
    exported = changes.lines.added and changes.fines.changed
    return [(f.facts.institution_id, f.terms) for f in exported or () if f.terms is not None]


async def _write_accounts(connection: Connection, changes: Changes) -> None:
    values = [(*a.key, a.active, a.transferred, a.sequence) for a in changes.accounts.written]
    await _execute(connection, "write_accounts", values)


async def _write_patrons(connection: Connection, changes: Changes, recorded_at: datetime) -> None:
    values = [rows.patron_row(value) for value in changes.patrons.written]
    await _execute(connection, "write_patrons", values, recorded_at)


async def _write_fines(connection: Connection, changes: Changes) -> None:
    count = len(changes.fines.added)
    added = await run_in_thread(
        connection, count, lambda: list(map(rows.fine_row, changes.fines.added))
    )
    await copy(connection, "fine", rows.FINE_COLUMNS, added)
    changed = await run_in_thread(
        connection,
        len(changes.fines.changed),
        lambda: [(*f.facts.key, *rows.state_row(f)) for f in changes.fines.changed],
    )
    await _execute(connection, "write_fines", changed)


async def _write_payments(connection: Connection, changes: Changes) -> None:
    added = [rows.payment_row(value) for value in changes.payments.added]
    await copy(connection, "payment", rows.PAYMENT_COLUMNS, added)
    changed = [
        (*p.key, p.state, p.fine_id, p.applied, p.excess, p.credit_id, p.reversed_by, p.reason)
        for p in changes.payments.changed
    ]
    await _execute(connection, "write_payments", changed)


async def _write_changes(connection: Connection, changes: Changes) -> None:
    added = [(*c.key, c.digest, c.state, c.fine_id, c.reason) for c in changes.changes.added]
    await copy(connection, "fine_change", CHANGE_COLUMNS, added)
    changed = [(*c.key, c.state, c.reason) for c in changes.changes.changed]
    await _execute(connection, "write_changes", changed)


async def _write_responses(connection: Connection, changes: Changes, recorded_at: datetime) -> None:
    added = [
        (
            *r.key,
            r.digest,
            r.batch.profile,
            r.batch.batch_number,
            r.state,
            r.reason,
            r.outcome,
            r.lines,
            r.responded_at,
            recorded_at,
        )
        for r in changes.responses.added
    ]
    await copy(connection, "export_response", RESPONSE_COLUMNS, added)
    changed = [
        (*r.key, r.state, r.reason, r.outcome, r.lines, r.responded_at)
        for r in changes.responses.changed
    ]
    await _execute(connection, "write_responses", changed, recorded_at)
    batches = [(*b.key, b.state) for b in changes.batches.changed]
    await _execute(connection, "write_batches", batches)


async def _write_lines(connection: Connection, changes: Changes) -> None:
    changed = [(*line.key, line.state, line.reason) for line in changes.lines.changed]
    await _execute(connection, "write_lines", changed)
    added = [
        (
            *line.key,
            line.fine_id,
            line.batch.profile,
            line.batch.batch_number,
            line.amount,
            line.currency,
            line.state,
            line.reason,
        )
        for line in changes.lines.added
    ]
    await copy(connection, "export_line", LINE_COLUMNS, added)


async def _write_parked(connection: Connection, changes: Changes, recorded_at: datetime) -> None:
    gone = [(k[1].institution_id, k[0], k[1].source, k[1].id) for k in changes.parked.removed]
    await _execute(connection, "delete_parked", gone)
    moved = [rows.parked_lane_row(item) for item in changes.parked.changed]
    await _execute(connection, "write_parked", moved)
    added = [rows.parked_row(item, recorded_at) for item in changes.parked.added]
    # In arrival order, unsorted: the default of `arrival` numbers the rows as they come.
    await connection.copy_records_to_table("parked", records=added, columns=rows.PARKED_COLUMNS)


async def _write_loans(connection: Connection, changes: Changes) -> None:
    values = [
        (c.institution_id, c.loan_id, c.patron_id, c.fine_id, c.batch_number, c.closed_at)
        for c in changes.loans_closed
    ]
    await copy(connection, "loan_closed", LOAN_COLUMNS, values)


async def copy(
    connection: Connection, table: str, columns: Sequence[str], values: list[tuple[Any, ...]]
) -> None:
    """Sorted by key: unique indexes wait like locks. A rival's same key raises, and is retried."""
    if values:
        keys = sorted(values, key=_key)
        await connection.copy_records_to_table(table, records=keys, columns=columns)


def _key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key columns come first in every table: none has more than four, none of them is null."""
    return row[:3]


async def _execute(
    connection: Connection, name: str, values: Sequence[tuple[Any, ...]], *more: object
) -> None:
    if values:
        arrays = [list(column) for column in zip(*values, strict=True)]
        await connection.execute(statements("ledger")[name], *arrays, *more)
