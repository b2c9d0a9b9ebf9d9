"""Reads the ledger as values for the rules, and locks the accounts that a commit may change."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, cast

import asyncpg

from ..core.adopted import AdoptedLine
from ..core.batches import ExportLine, Response
from ..core.events import BursarPayment, ParkedEvent, ParkedKey
from ..core.ledger import (
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineKey,
    LineKey,
    Patron,
    Payment,
    SourceKey,
)
from ..core.terms import Terms
from ..core.workspace import LoanKey, PatronKey, View
from . import lump_sums, reversed_amounts, tables
from .adopted_lines import lines_beside, lock_waiting_lines, reach_waiting_lines
from .credits_read import with_credits
from .encodings import terms_of
from .parked import Parse, parked_items, parked_key_of
from .patron_snapshots import without_future
from .references import FineVersion, References, credits_made_by, fines_named_by, require_locked
from .session import Connection, run_in_thread, statements
from .tables import Table, columns_of, key_columns

K = TypeVar("K", bound=tuple[str | int, ...])
V = TypeVar("V", Payment, Change, Response, ExportLine)


class LedgerReader:
    """Reads from the database what the rules need to decide about events. `parse` decodes the bytes
    of parked records in the same way as those of records from Kafka.

    The terms of fines are cached after they were read, because stored terms never change.
    """

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._terms: dict[tuple[str, str], Terms] = {}
        self._sql = statements("ledger")

    async def lock(self, connection: Connection, references: References) -> View:
        """Locks the accounts that the events of `references` may change, in the order of the keys.

        Accounts that do not exist yet are inserted before. Waiting adopted lines are locked
        afterwards, because no account protects a line whose fine does not exist yet. Returns the
        accounts and the time of the database's clock. The caller must lock before it reads the
        ledger, because only what is read under these locks cannot change until the commit.
        """
        known = await self._accounts_of(connection, references)
        new = await self._new_accounts(connection, references)
        if new:
            await connection.execute(self._sql["insert_missing_accounts"], *key_columns(new, 3))
        locked = await self._accounts(connection, "lock_accounts", known | new)
        if locked.lines_wait:
            await lock_waiting_lines(connection, references)
        return locked

    async def peek(self, connection: Connection, references: References) -> View:
        """Returns what `lock` returns, but locks no rows and inserts no accounts; for a preview."""
        known = await self._accounts_of(connection, references)
        return await self._accounts(connection, "read_account", known)

    async def view(self, connection: Connection, references: References, locked: View) -> View:
        """Returns the accounts in `locked` with all else that the rules need to decide the events.

        Raises StaleRead if a fine belongs to an account that is not locked, and ParkedFailure if
        the bytes of a parked record cannot be decoded.
        """
        view = await self._view(connection, references, locked)
        has_changes = any(item.is_change for item in view.parked.values())
        if references.may_need_credits or has_changes or view.adopted:
            view = await with_credits(connection, self.fines_by_key, references, view)
        return view

    async def _view(self, connection: Connection, references: References, locked: View) -> View:
        lines = await self._read(connection, tables.LINE, references.lines)
        in_batches = await self._rows(connection, "lines_of_batches", references.batches)
        lines |= {line.key: line for line in map(tables.LINE.value, in_batches)}
        payments = await self._read(
            connection, tables.PAYMENT, references.payments | references.originals
        )
        reached = references.fines_reached(lines.values(), payments)
        adopted: dict[LineKey, AdoptedLine] = {}
        if locked.lines_wait:
            adopted = await reach_waiting_lines(connection, self, references, locked, reached)
        queues = reached | references.created.keys()

        trying: set[tuple[str, str, str, str]] = set()
        if references.exported or references.originals or adopted:
            trying = await lump_sums.sums_to_try(connection, references, locked)
        parked = await self._parked(connection, queues, references, trying, adopted)
        waiting = [item.event for item in parked.values() if isinstance(item.event, BursarPayment)]
        await self._add_waiting(connection, waiting, references, payments, lines)
        sums = lump_sums.Sums()
        if payments or parked or references.sums:
            sums = await lump_sums.read_sums(
                connection, references, locked, payments.values(), parked.values()
            )
        paid = [value for value in payments.values() if fines_named_by([value]) & queues]
        keys = queues | credits_made_by(paid) | sums.fines
        fines = await self.unchanged_fines(connection, references.versions)
        fines |= await self.fines_by_key(connection, keys - fines.keys())
        require_locked(fines, references.created.keys() - reached, locked)
        if locked.lines_wait:
            lines |= await lines_beside(connection, waiting, adopted, fines, lines)
        changes = references.changes | {key for record, key in parked if record == "change"}
        patrons = await self.patrons(connection, references.patrons)
        batches = await self._rows(connection, "lock_export_batch", references.batches)
        return replace(
            locked,
            patrons=without_future(patrons, locked.recorded_at),
            fines=fines,
            payments=payments,
            changes=await self._read(connection, tables.CHANGE, changes),
            responses=await self._read(connection, tables.RESPONSE, references.responses),
            lines=lines,
            batches={batch.key: batch for batch in map(tables.BATCH.value, batches)},
            parked=parked,
            sums=sums.by_key,
            export_numbers=await lump_sums.export_numbers(connection, sums, fines),
            loans_closed=await self._loans_closed(connection, references, fines, adopted),
            adopted=adopted,
        )

    async def _add_waiting(
        self,
        connection: Connection,
        waiting: Collection[BursarPayment],
        references: References,
        payments: dict[SourceKey, Payment],
        lines: dict[LineKey, ExportLine],
    ) -> None:
        """Adds what parked payments refer to, and how much was reversed of originals."""
        keys = {event.key for event in waiting} | {event.original for event in waiting}
        payments |= await self._read(connection, tables.PAYMENT, _unread(keys, payments))
        named = references.originals | {event.original for event in waiting}
        partly = await self._rows(connection, "reversed_amounts", payments.keys() & named)
        payments |= reversed_amounts.with_amounts(payments, partly)
        # Payments that were rejected before their line was known have no fine.
        no_fine = [payment for payment in payments.values() if payment.fine_id is None]
        line_keys = {event.line_key for event in waiting} | {p.line_key for p in no_fine}
        lines |= await self._read(connection, tables.LINE, _unread(line_keys, lines))

    async def _loans_closed(
        self,
        connection: Connection,
        references: References,
        fines: Mapping[FineKey, Fine],
        adopted: Mapping[LineKey, AdoptedLine],
    ) -> frozenset[LoanKey]:
        loans: set[LoanKey] = set()
        if references.is_export or adopted:
            facts = [fine.facts for fine in fines.values()]
            loans = {(f.institution_id, f.loan_id) for f in facts if f.loan_id is not None}
            loans |= references.loans
        rows = await self._rows(connection, "read_loan_closed", loans)
        return frozenset((row["institution_id"], row["loan_id"]) for row in rows)

    async def batch_sizes(
        self, connection: Connection, keys: Collection[BatchKey]
    ) -> dict[BatchKey, int]:
        """Returns the number of lines of each of these batches that exists, without locking the
        batches.
        """
        rows = await self._rows(connection, "batch_sizes", keys)
        return {BatchKey(row[0], row[1], row[2]): row["fine_count"] for row in rows}

    async def fines_of(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Fine]:
        """Returns the fines that rows of the table `fine` describe, each with the terms that it got
        from its export.
        """
        known = await self.terms_of(connection, rows)
        return await run_in_thread(
            connection, len(rows), lambda: [tables.fine_of(row, known) for row in rows]
        )

    async def terms_of(
        self, connection: Connection, rows: Sequence[asyncpg.Record]
    ) -> Mapping[tuple[str, str], Terms]:
        """Reads the terms that the rows name and the cache lacks; returns all cached terms."""
        keys = {(row["institution_id"], row["terms_id"]) for row in rows if row["terms_id"]}
        for row in await self._rows(connection, "read_terms", keys - self._terms.keys()):
            self._terms[(row["institution_id"], row["terms_id"])] = terms_of(row)
        return self._terms

    async def fines_by_key(
        self, connection: Connection, keys: Collection[FineKey]
    ) -> dict[FineKey, Fine]:
        """Returns the fines with these keys that exist, by key."""
        rows = await self._rows(connection, "read_fine", keys)
        return {fine.facts.key: fine for fine in await self.fines_of(connection, rows)}

    async def unchanged_fines(
        self, connection: Connection, versions: Mapping[FineKey, FineVersion]
    ) -> dict[FineKey, Fine]:
        """Returns those of the fines in `versions` that have not changed since the caller read
        them.

        Every update gives a row a new version, so comparing versions spares reading the unchanged
        rows again.
        """
        if not versions:
            return {}
        columns = columns_of((*key, versions[key].version) for key in sorted(versions))
        rows = await connection.fetch(self._sql["unchanged_fines"], *columns)
        keys = (FineKey(row["institution_id"], row["fine_id"]) for row in rows)
        return {key: versions[key].fine for key in keys}

    async def patrons(
        self, connection: Connection, keys: Collection[PatronKey]
    ) -> dict[PatronKey, Patron]:
        """Returns the patrons with these keys that exist, by institution and patron id."""
        rows = await self._rows(connection, "read_patron", keys)
        values = await run_in_thread(
            connection, len(rows), lambda: list(map(tables.PATRON.value, rows))
        )
        return {(value.institution_id, value.patron_id): value for value in values}

    async def _accounts_of(self, connection: Connection, references: References) -> set[AccountKey]:
        """The accounts of what the events refer to, and those that sums name, if they exist."""
        if references.accounts:
            return references.accounts
        rows = await connection.fetch(
            self._sql["accounts_of_references"],
            *key_columns(references.fines, 2),
            *key_columns(references.lines, 2),
            *key_columns(references.originals, 3),
            *key_columns(references.batches, 3),
        )
        return references.sums.union(AccountKey(*row.values()) for row in rows)

    async def _new_accounts(
        self, connection: Connection, references: References
    ) -> set[AccountKey]:
        """The accounts of fines that are new; a fine that is known changes nothing."""
        rows = await self._rows(connection, "known_fines", references.created)
        known = {FineKey(*row.values()) for row in rows}
        return {account for key, account in references.created.items() if key not in known}

    async def _accounts(
        self, connection: Connection, statement: str, keys: Collection[AccountKey]
    ) -> View:
        rows = await connection.fetch(self._sql[statement], *key_columns(keys, 3))
        accounts = {account.key: account for account in map(tables.ACCOUNT.value, rows)}
        clock = await connection.fetchrow(self._sql["clock"])
        assert clock is not None
        return View(accounts, lines_wait=clock["lines_wait"], recorded_at=clock["recorded_at"])

    async def _read(
        self, connection: Connection, table: Table[V], keys: Collection[K]
    ) -> dict[K, V]:
        rows = await self._rows(connection, f"read_{table.name}", keys)
        return cast("dict[K, V]", {value.key: value for value in map(table.value, rows)})

    async def _rows(
        self, connection: Connection, statement: str, keys: Collection[tuple[str | int, ...]]
    ) -> Sequence[asyncpg.Record]:
        if not keys:
            return []
        width = len(next(iter(keys)))
        return await connection.fetch(self._sql[statement], *key_columns(keys, width))

    async def _parked(
        self,
        connection: Connection,
        queues: Collection[FineKey],
        references: References,
        trying: Collection[tuple[str, str, str, str]],
        adopted: Mapping[LineKey, AdoptedLine],
    ) -> dict[ParkedKey, ParkedEvent]:
        # Of these, the queues are read although the fine may not exist. A payment of these events
        # may make the credit, and its queue is tried in the same commit. An answer must know what
        # waits for the fine of an adopted line.
        awaited = references.created.keys() | references.credits
        awaited |= {line.fine for line in adopted.values()}
        rows = await connection.fetch(
            self._sql["parked_waiting"],
            *key_columns(queues, 2),
            *key_columns(references.payments, 3),
            *key_columns(references.originals, 3),
            [key in awaited for key in sorted(queues)],
            *key_columns(references.parked.union(trying), 4),
        )
        rows = [row for row in rows if parked_key_of(row) not in references.without]
        return await run_in_thread(connection, len(rows), lambda: parked_items(rows, self._parse))


def _unread(keys: Iterable[K | None], values: Collection[K]) -> set[K]:
    """The keys of what was not read yet; a reference that is missing is None."""
    return {key for key in keys if key is not None} - set(values)
