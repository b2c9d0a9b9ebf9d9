"""Reads credits of fines, and the fines that credits belong to, for those events whose outcome
depends on them.

The outcome of most events does not depend on credits, so most commits read nothing through this
module.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace

import asyncpg

from ..core.after_export import takes_credits
from ..core.credits import CreditHistory, key_of_credited
from ..core.ledger import Fine, FineKey
from ..core.words import LineState, Status
from ..core.workspace import View
from . import tables
from .references import References
from .session import Connection, statements
from .tables import key_columns

ReadFines = Callable[[Connection, Collection[FineKey]], Awaitable[dict[FineKey, Fine]]]


async def with_credits(
    connection: Connection, read_fines: ReadFines, references: References, view: View
) -> View:
    """Returns the view with the credits of fines that the rules need for the events, and with the
    history of each credit.

    If the events export credits, the fines that these are credits of are added as well. Everything
    that is added belongs to an account that the view already has.
    """
    fines = dict(view.fines)
    if references.is_export:
        fines |= await _credited(connection, read_fines, view)
    asked = _asked_for(references, view)
    if not asked:
        return view if len(fines) == len(view.fines) else replace(view, fines=fines)
    histories = await credit_histories(connection, {fine.facts.key for fine in asked})
    unread = histories.keys() - fines.keys()
    if unread:
        fines |= await read_fines(connection, unread)
    lines = dict(view.lines)
    for row in await _lines_of_closed(connection, view, asked):
        line = tables.LINE.value(row)
        lines[line.key] = line
    return replace(view, fines=fines, lines=lines, credit_histories=histories)


async def credit_histories(
    connection: Connection, fines: Collection[FineKey]
) -> dict[FineKey, CreditHistory]:
    """Returns the credits of these fines, by the credit's key, each with its history: how much it
    was reduced, and how it came about.
    """
    rows = await connection.fetch(statements("ledger")["credits_of_fines"], *key_columns(fines, 2))
    return {
        FineKey(row["institution_id"], row["fine_id"]): CreditHistory(
            row["reduced"], row["is_excess"], row["is_of_change"], row["followed"]
        )
        for row in rows
    }


async def _credited(
    connection: Connection, read_fines: ReadFines, view: View
) -> dict[FineKey, Fine]:
    """The fines that the view's credits name, as far as they are of an account of the view."""
    keys = {key for fine in view.fines.values() if (key := key_of_credited(fine)) is not None}
    unread = keys - view.fines.keys()
    if not unread:
        return {}
    read = await read_fines(connection, unread)
    return {key: fine for key, fine in read.items() if fine.facts.account in view.accounts}


def _asked_for(references: References, view: View) -> list[Fine]:
    """The fines whose credits matter.

    A payment or waiver in the library after an export must not exceed what is owed, a line whose
    fine has credits may not be refused, and a fine that is exported again may have to go the way of
    a credit that has followed it before. A fine for which an adopted line waits may take the line.
    """
    waiting = {line.fine for line in view.adopted.values()}
    fines = {key: view.fines[key] for key in waiting if key in view.fines}
    if references.is_export:
        fines |= {
            key: fine
            for key, fine in view.fines.items()
            if fine.terms is not None and fine.bursar_transaction_id is None
        }
    if references.changes or any(item.is_change for item in view.parked.values()):
        fines |= {key: fine for key, fine in view.fines.items() if takes_credits(fine)}
    if references.whole_batches or references.refused_lines:
        named = {
            FineKey(line.key.institution_id, line.fine_id)
            for line in view.lines.values()
            if line.state is LineState.LIVE
            if line.batch in references.whole_batches or line.key in references.refused_lines
        }
        fines |= {key: view.fines[key] for key in named if key in view.fines}
    return list(fines.values())


async def _lines_of_closed(
    connection: Connection, view: View, fines: Iterable[Fine]
) -> list[asyncpg.Record]:
    """The rows of the live lines of fines that closed on their export: what was owed then."""
    keys = {
        key
        for fine in fines
        if fine.status is Status.CLOSED and takes_credits(fine)
        if (key := fine.line_key) is not None
    }
    unread = keys - view.lines.keys()
    if not unread:
        return []
    return await connection.fetch(statements("ledger")["read_export_line"], *key_columns(unread, 2))
