"""Writes the changes that the rules have made to the tables of the ledger, with one statement or
COPY for each table, always in the same order of tables so that commits do not deadlock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter

from ..core.changes import Transaction
from ..core.events import Rejection
from ..core.ledger import LibraryRef, PaymentRef
from ..core.terms import Terms
from ..core.words import BURSAR_COMMENT, Reason
from ..core.workspace import Changes
from . import reversed_amounts, tables
from .adopted_lines import write_adopted_lines
from .encodings import terms_id, terms_text
from .lump_sums import write_sums
from .parked import PARKED, PARKED_ORIGINAL
from .session import Connection, run_in_thread, statements
from .tables import Cells, Table, V, columns_of

TEXT_COLUMNS = (
    "institution_id patron_id currency sequence comment cause_comment cause_reason"
).split()
# The key columns come first in every table. None has more than four, and none is NULL.
_key = itemgetter(0, 1, 2)
NOT_KNOWN = (Reason.UNKNOWN_LINE, Reason.UNKNOWN_BATCH)


async def write(
    connection: Connection, changes: Changes, recorded_at: datetime, *, has_batches: bool = True
) -> None:
    """Writes the changes to the ledger's tables, inside the caller's transaction.

    The caller must have locked the accounts, and writes the outbox afterwards. If `has_batches` is
    False, the rows of the batches do not exist yet: this function then leaves out the new export
    lines, and the caller writes first the batches and then the lines.
    """
    now = recorded_at
    await _update(connection, tables.ACCOUNT, changes.accounts.written)
    await _execute(connection, "write_patron", map(tables.PATRON.row, changes.patrons.written), now)
    await put_terms(connection, _terms_of(changes))
    await _copy(connection, tables.FINE, changes.fines.added, now)
    await _update(connection, tables.FINE, changes.fines.changed)
    await _execute(connection, "write_fine_amendment", map(tables.AMENDMENT.row, changes.amended))
    await _copy(connection, tables.PAYMENT, changes.payments.added, now)
    await _update(connection, tables.PAYMENT, changes.payments.changed)
    if changes.payments.written:
        await _execute(connection, "add_reversed_amounts", reversed_amounts.rows_of(changes))
    await write_sums(connection, changes.sums)
    await _copy(connection, tables.CHANGE, changes.changes.added, now)
    await _update(connection, tables.CHANGE, changes.changes.changed)
    await _copy(connection, tables.RESPONSE, changes.responses.added, now)
    await _update(connection, tables.RESPONSE, changes.responses.changed, now)
    await _update(connection, tables.BATCH, changes.batches.changed)
    # A fine has one live line: the line that is refused comes before the one of the next export.
    await _update(connection, tables.LINE, changes.lines.changed)
    if has_batches:
        await write_lines(connection, changes, now)
    await write_adopted_lines(connection, changes.adopted.changed)
    gone = [(k.institution_id, record, k.source, k.id) for record, k in changes.parked.removed]
    await _execute(connection, "delete_parked", gone)
    await _update(connection, PARKED, changes.parked.changed)
    # In the order of arrival: the column `arrival` numbers the rows as they come.
    await _copy(connection, PARKED, changes.parked.added, now, is_sorted=False)
    in_new_form = [item for item in changes.parked.added if item.event.is_new_form]
    await _copy(connection, PARKED_ORIGINAL, in_new_form, now)
    await _copy(connection, tables.LOAN_CLOSED, changes.loans_closed, now)
    await _copy(connection, tables.TRANSACTION, changes.transactions, now)
    texts = [row for row in map(_text_row, changes.transactions) if row is not None]
    await _copy_rows(connection, "transaction_text", TEXT_COLUMNS, sorted(texts, key=_key))
    await put_rejected(connection, changes.rejections, now)


async def write_lines(connection: Connection, changes: Changes, recorded_at: datetime) -> None:
    """Writes the new export lines of batches; the rows of the batches must exist already."""
    await _copy(connection, tables.LINE, changes.lines.added, recorded_at)


def require_rows(changes: Changes, recorded_at: datetime) -> None:
    """Converts transactions and rejections to rows without writing them, to find values that cannot
    be stored.

    Raises the exception that the conversion of such a value raises. Nothing is written.
    """
    tables.TRANSACTION.rows(changes.transactions, recorded_at)
    tables.REJECTION.rows(changes.rejections, recorded_at)


async def put_rejected(
    connection: Connection, rejections: Sequence[Rejection], recorded_at: datetime
) -> None:
    """Writes rejected records, with their bytes, to the table `rejected`."""
    records = [(*value.origin[:3], value.origin.key, value.origin.value) for value in rejections]
    await _execute(connection, "move_earlier_rejected", records)
    await _execute(connection, "put_rejected", map(tables.REJECTION.row, rejections), recorded_at)


async def with_missing_profiles(connection: Connection, changes: Changes) -> Changes:
    """If records were rejected because their line or batch is unknown, and their institution has no
    profile, adds this fact to the text of the rejection.

    The text tells the sender that the service exports nothing at all for the institution, so that
    he does not look for a mistake in an id.
    """
    unknown = {
        value.institution_id
        for value in changes.rejections
        if value.reason in NOT_KNOWN and value.institution_id
    }
    if not unknown:
        return changes
    query = statements("export")["institutions_without_profiles"]
    without = {row["institution_id"] for row in await connection.fetch(query, sorted(unknown))}
    rejections = tuple(
        replace(value, detail=f"{value.detail}; institution_id: has no profile here")
        if value.reason in NOT_KNOWN and value.institution_id in without
        else value
        for value in changes.rejections
    )
    return replace(changes, rejections=rejections)


async def places_of_others(
    connection: Connection, rejections: Sequence[Rejection]
) -> frozenset[tuple[str, int, int]]:
    """Returns the topic, partition and offset of those rejected records for which the database has
    stored a different record with the same topic, partition and offset before.
    """
    if not rejections:
        return frozenset()
    columns = columns_of(value.origin[:3] for value in rejections)
    rows = await connection.fetch(statements("ledger")["places_of_others"], *columns)
    return frozenset((row["topic"], row["partition"], row["record_offset"]) for row in rows)


async def put_terms(connection: Connection, terms: Iterable[tuple[str, Terms]]) -> None:
    """Writes terms, each given with the id of its institution, to the table `terms`, unless they
    are stored already.
    """
    rows = {(owner, terms_id(value), terms_text(value)) for owner, value in terms}
    await _execute(connection, "put_terms", sorted(rows))


def _terms_of(changes: Changes) -> list[tuple[str, Terms]]:
    """The terms of exported fines: only an export gives a fine terms."""
    if not changes.lines.added:
        return []
    fines = changes.fines.changed
    exported = [(fine.facts.institution_id, fine.terms) for fine in fines if fine.terms is not None]
    # All fines of a batch share one value. It need not be compared or hashed for each of them.
    return list({(owner, id(terms)): (owner, terms) for owner, terms in exported}.values())


async def _update(
    connection: Connection, table: Table[V], values: Sequence[V], *more: object
) -> None:
    """Sets the changing columns of rows that exist."""
    rows = await run_in_thread(
        connection, len(values), lambda: list(map(table.changed_row, values))
    )
    await _execute(connection, f"write_{table.name}", rows, *more)


async def _copy(
    connection: Connection,
    table: Table[V],
    values: Sequence[V],
    recorded_at: datetime,
    *,
    is_sorted: bool = True,
) -> None:
    """Inserts rows, sorted by key, because unique indexes make rivals wait as locks do.

    A rival that has inserted the same key makes PostgreSQL raise, and the commit is made again.
    """
    rows = await run_in_thread(connection, len(values), lambda: table.rows(values, recorded_at))
    ordered = sorted(rows, key=_key) if is_sorted else rows
    await _copy_rows(connection, table.name, table.columns, ordered)


async def _copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Cells]
) -> None:
    if rows:
        await connection.copy_records_to_table(table, records=rows, columns=columns)


def _text_row(transaction: Transaction) -> Cells | None:
    """Returns what people wrote about a transaction, as a row of `transaction_text`; or None.

    The texts are kept apart from the ledger, so that they can be erased.
    """
    comment = None if transaction.comment == BURSAR_COMMENT else transaction.comment
    cause = transaction.cause
    cause_comment = cause.comment if isinstance(cause, PaymentRef) else None
    cause_reason = cause.reason if isinstance(cause, LibraryRef) else None
    if comment is None and cause_comment is None and cause_reason is None:
        return None
    key = transaction.after.key
    return (*key, transaction.after.sequence, comment, cause_comment, cause_reason)


async def _execute(connection: Connection, name: str, rows: Iterable[Cells], *more: object) -> None:
    """Runs a statement that takes one array for each column of the rows, if there are any."""
    arrays = columns_of(rows)
    if arrays:
        await connection.execute(statements("ledger")[name], *arrays, *more)
