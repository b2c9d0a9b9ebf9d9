"""The ledger's way in and out of PostgreSQL: arrays in, core values out; sets, never rows."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg

from ..core.batches import ExportLine, Response, SealedBatch
from ..core.events import BursarPayment, FineChanged, Incoming, ParkedEvent, ParkedKey, Rejection
from ..core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineKey,
    LineKey,
    Origin,
    Patron,
    Payment,
    SourceKey,
    Terms,
)
from ..core.parked import ParkedFailure
from ..core.words import Wait
from ..core.workspace import LoanKey, PatronKey, View
from ..runtime.failures import StaleRead
from . import records
from .references import References, credits_made_by, fines_named_by
from .session import Connection, run_in_thread, statements

K = TypeVar("K", bound=tuple[str | int, ...])
V = TypeVar("V", Payment, Change, Response, SealedBatch)
Parse = Callable[[str, Origin], Incoming | Rejection]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
CONTRACTS = {"payment": "bursar-payment.v1", "change": "fine-changed.v1"}


@dataclass(frozen=True, slots=True)
class LockedAccounts:
    """The accounts of one commit, and the database's clock after they were locked."""

    accounts: Mapping[AccountKey, Account]
    recorded_at: datetime


def columns(keys: Collection[tuple[str | int, ...]], width: int) -> list[list[str | int]]:
    """Keys, sorted, as one array per column."""
    ordered = sorted(keys)
    return [[key[place] for key in ordered] for place in range(width)]


class LedgerStore:
    """Reads under the accounts' locks. Terms never change, so they are remembered."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._terms: dict[tuple[str, str], Terms] = {}
        self._sql = statements("ledger")

    async def lock(self, connection: Connection, named: References) -> LockedAccounts:
        """Locks every account the events may touch, in key order, missing ones made first."""
        found = await self._accounts_named(connection, named)
        new = await self._new_accounts(connection, named)
        arrays = columns(found | new, 3)
        if new:
            await connection.execute(self._sql["insert_missing_accounts"], *columns(new, 3))
        rows = await connection.fetch(self._sql["lock_accounts"], *arrays)
        clock = await connection.fetchval(self._sql["clock"])
        return LockedAccounts({(value := records.account(row)).key: value for row in rows}, clock)

    async def peek(self, connection: Connection, named: References) -> LockedAccounts:
        """The same accounts without a lock and without making any: to see what would happen."""
        found = await self._accounts_named(connection, named)
        rows = await connection.fetch(self._sql["accounts"], *columns(found, 3))
        clock = await connection.fetchval(self._sql["clock"])
        return LockedAccounts({(value := records.account(row)).key: value for row in rows}, clock)

    async def view(self, connection: Connection, named: References, locked: LockedAccounts) -> View:
        """All that the rules may ask for these events.

        Raises StaleRead, and ParkedFailure for parked records that cannot be read.
        """
        lines = await self._lines(connection, named)
        payments = await self._payments(connection, named.payments | named.originals)
        # A known payment named by another record under its identity: a repeat or a conflict, and
        # its fine may be any. Only reversals reach a known payment's fine and credit.
        originals = [payments[key] for key in named.originals & payments.keys()]
        held = named.fines | fines_named_by(lines.values()) | fines_named_by(originals)
        held |= (named.credits - credits_made_by(payments.values())) | credits_made_by(originals)
        lanes = held | named.created.keys()
        parked = await self._parked(connection, lanes, named)
        lines |= await self._lines_of_parked(connection, parked.values(), lines)
        payments |= await self._payments_of_parked(connection, parked.values(), payments)
        lines |= await self._lines_of_rejected(connection, payments.values(), lines)
        reached = [value for value in payments.values() if fines_named_by([value]) & lanes]
        fines = await self.fines_by_key(connection, lanes | credits_made_by(reached))
        _require_locked(fines, named.created.keys() - held, locked)
        changes = named.changes | {key[1] for key in parked if key[0] == "change"}
        return View(
            accounts=locked.accounts,
            patrons=_without_future(
                await self.patrons(connection, named.patrons), locked.recorded_at
            ),
            fines=fines,
            payments=payments,
            changes=await self._by(connection, "changes", changes, records.change),
            responses=await self._by(connection, "responses", named.responses, records.response),
            lines=lines,
            batches=await self._by(connection, "lock_batches", named.batches, records.sealed_batch),
            parked=parked,
            loans_closed=await self._loans(connection, fines.values() if named.with_loans else ()),
            recorded_at=locked.recorded_at,
        )

    async def batch_sizes(
        self, connection: Connection, keys: Collection[BatchKey]
    ) -> dict[BatchKey, int]:
        """Lines per batch, without a lock: what weighing needs."""
        rows = await self._fetch(connection, "batch_sizes", keys, 3)
        return {BatchKey(row[0], row[1], row[2]): row["fine_count"] for row in rows}

    async def fines_of(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Fine]:
        """Rows of the table `fine` as values, with the terms they were exported under."""
        terms = await self._terms_of(connection, rows)
        return await run_in_thread(
            connection, len(rows), lambda: [records.fine(r, terms) for r in rows]
        )

    async def fines_by_key(
        self, connection: Connection, keys: Collection[FineKey]
    ) -> dict[FineKey, Fine]:
        """The fines that are known of these."""
        rows = await self._fetch(connection, "fines", keys, 2)
        return {value.facts.key: value for value in await self.fines_of(connection, rows)}

    async def patrons(
        self, connection: Connection, keys: Collection[PatronKey]
    ) -> dict[PatronKey, Patron]:
        rows = await self._fetch(connection, "patrons", keys, 2)
        values = await run_in_thread(connection, len(rows), lambda: list(map(records.patron, rows)))
        return {(value.institution_id, value.patron_id): value for value in values}

    async def _accounts_named(self, connection: Connection, named: References) -> set[AccountKey]:
        if named.accounts:
            return named.accounts
        rows = await connection.fetch(
            self._sql["accounts_of_references"],
            *columns(named.fines, 2),
            *columns(named.lines, 2),
            *columns(named.originals, 3),
            *columns(named.batches, 3),
        )
        return {AccountKey(*row.values()) for row in rows}

    async def _new_accounts(self, connection: Connection, named: References) -> set[AccountKey]:
        """Accounts of fines to be; a fine that is known brings none: it changes nothing."""
        rows = await self._fetch(connection, "known_fines", named.created, 2)
        known = {FineKey(*row.values()) for row in rows}
        return {account for key, account in named.created.items() if key not in known}

    async def _by(
        self,
        connection: Connection,
        name: str,
        keys: Collection[K],
        make: Callable[[asyncpg.Record], V],
    ) -> dict[K, V]:
        rows = await self._fetch(connection, name, keys, 3)
        return {value.key: value for value in map(make, rows)}  # type: ignore[misc] # V has key K

    async def _lines(self, connection: Connection, named: References) -> dict[LineKey, ExportLine]:
        rows = [
            *await self._fetch(connection, "lines", named.lines, 2),
            *await self._fetch(connection, "lines_of_batches", named.batches, 3),
        ]
        return {value.key: value for value in map(records.line, rows)}

    async def _lines_of_parked(
        self, connection: Connection, items: Collection[ParkedEvent], known: Collection[LineKey]
    ) -> dict[LineKey, ExportLine]:
        events = [item.event for item in items if isinstance(item.event, BursarPayment)]
        return await self._lines_named(connection, (event.line_key for event in events), known)

    async def _lines_of_rejected(
        self, connection: Connection, payments: Collection[Payment], known: Collection[LineKey]
    ) -> dict[LineKey, ExportLine]:
        """What those named that were rejected before their line was known."""
        named = (one.line_key for one in payments if one.fine_id is None)
        return await self._lines_named(connection, named, known)

    async def _lines_named(
        self,
        connection: Connection,
        named: Iterable[LineKey | None],
        known: Collection[LineKey],
    ) -> dict[LineKey, ExportLine]:
        keys = {key for key in named if key is not None} - set(known)
        rows = await self._fetch(connection, "lines", keys, 2)
        return {value.key: value for value in map(records.line, rows)}

    async def _payments(
        self, connection: Connection, keys: Collection[SourceKey]
    ) -> dict[SourceKey, Payment]:
        return await self._by(connection, "payments", keys, records.payment)

    async def _payments_of_parked(
        self, connection: Connection, items: Collection[ParkedEvent], known: Collection[SourceKey]
    ) -> dict[SourceKey, Payment]:
        events = [item.event for item in items if isinstance(item.event, BursarPayment)]
        keys = {e.key for e in events} | {e.original for e in events if e.original is not None}
        return await self._payments(connection, keys - set(known))

    async def _parked(
        self, connection: Connection, lanes: set[FineKey], named: References
    ) -> dict[ParkedKey, ParkedEvent]:
        rows = await connection.fetch(
            self._sql["parked_waiting"],
            *columns(lanes, 2),
            *columns(named.payments, 3),
            *columns(named.originals, 3),
            # A payment of these may make its credit as well: its queue moves in the same commit.
            [lane in named.created or lane in named.credits for lane in sorted(lanes)],
            *columns(named.parked, 4),
        )
        rows = [row for row in rows if _parked_key(row) not in named.without]
        return await run_in_thread(connection, len(rows), lambda: self._parked_items(rows))

    def _parked_items(self, rows: Sequence[asyncpg.Record]) -> dict[ParkedKey, ParkedEvent]:
        """Raises ParkedFailure with all that cannot be read."""
        items: dict[ParkedKey, ParkedEvent] = {}
        failures: dict[ParkedKey, Exception] = {}
        for row in rows:
            key = _parked_key(row)
            try:
                items[key] = self._parked_item(row, key[1])
            except Exception as problem:  # noqa: BLE001 - raised below, with the record's key
                failures[key] = problem
        if failures:
            raise ParkedFailure(tuple(failures)) from next(iter(failures.values()))
        return items

    def _parked_item(self, row: asyncpg.Record, key: SourceKey) -> ParkedEvent:
        event = self._parse(CONTRACTS[row["record"]], records.origin(row))
        # It was sound when it was parked, and what this release reads it still has to read.
        assert isinstance(event, FineChanged | BursarPayment)
        behind = row["original"]
        original = None if behind is None else SourceKey(key.institution_id, key.source, behind)
        return ParkedEvent(event, Wait(row["wait"]), row["fine_id"], original, row["arrival"])

    async def _terms_of(
        self, connection: Connection, rows: Iterable[asyncpg.Record]
    ) -> Mapping[tuple[str, str], Terms]:
        named = {(row["institution_id"], row["terms_id"]) for row in rows if row["terms_id"]}
        for row in await self._fetch(connection, "terms", named - set(self._terms), 2):
            self._terms[(row["institution_id"], row["terms_id"])] = records.terms(row)
        return self._terms

    async def _loans(self, connection: Connection, fines: Iterable[Fine]) -> frozenset[LoanKey]:
        facts = [fine.facts for fine in fines]
        loans = {(each.institution_id, each.loan_id) for each in facts if each.loan_id is not None}
        rows = await self._fetch(connection, "loans_closed", loans, 2)
        return frozenset((row["institution_id"], row["loan_id"]) for row in rows)

    async def _fetch(
        self, connection: Connection, name: str, keys: Collection[tuple[str | int, ...]], width: int
    ) -> Sequence[asyncpg.Record]:
        return await connection.fetch(self._sql[name], *columns(keys, width)) if keys else []


def _parked_key(row: asyncpg.Record) -> ParkedKey:
    return (row["record"], SourceKey(row["institution_id"], row["source"], row["id"]))


def _without_future(
    patrons: Mapping[PatronKey, Patron], recorded_at: datetime
) -> Mapping[PatronKey, Patron]:
    """Snapshots of an instant that is still to come give way to any record of their patron.

    Older releases stored a producer's instant as it came: no record would ever have been newer than
    one of the year 9999. The statement `write_patrons` follows the same rule.
    """
    return {
        key: replace(patron, seen_at=_LONG_AGO) if patron.seen_at > recorded_at else patron
        for key, patron in patrons.items()
    }


def _require_locked(
    fines: Mapping[FineKey, Fine], only_created: Collection[FineKey], locked: LockedAccounts
) -> None:
    """A line or payment that appeared between reference and lock brings an account not held.

    What is only created again changes nothing: a repeat or a conflict.
    """
    for key, fine in fines.items():
        if fine.facts.account not in locked.accounts and key not in only_created:
            raise StaleRead("a fine of an account that is not locked")
