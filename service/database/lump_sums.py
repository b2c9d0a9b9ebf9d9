"""Sums without a line in PostgreSQL: what is kept of each, its parts, and the fines it may pay."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import orjson

from ..core.changes import Changed
from ..core.events import ParkedEvent
from ..core.ledger import AccountKey, Fine, FineKey, LineKey, Payment, SourceKey
from ..core.shares import LumpRule, LumpSum, Share
from ..core.words import PaymentKind, Status
from ..core.workspace import View
from .references import References
from .session import Connection, statements
from .tables import Table, columns_of, key_columns

SQL = statements("sums")

# So many waiting sums of an account are tried by the commit that makes something outstanding.
WAITING_SUMS_MAX = 100


def _allocations_json(shares: tuple[Share, ...]) -> str | None:
    return orjson.dumps([list(share) for share in shares]).decode() if shares else None


SUM: Table[LumpSum] = Table(
    "payment_sum",
    "key.institution_id key.source key.id:payment_id account.patron_id account.currency rule tried"
    " waits allocations",
    3,
    changing="rule tried waits allocations",
    stored={"allocations": _allocations_json},
)
PART_COLUMNS = "institution_id source payment_id place fine_id amount".split()


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums that events refer to, by identity, and what has to be read of fines for them.

    `fines` are those that the sums may pay, or that a reversal of a sum changes. `export_numbers`
    has the export number of the live line of each fine that may be paid. `accounts` are those of
    which a sum may be decided.
    """

    by_key: Mapping[SourceKey, LumpSum] = field(default_factory=dict)
    fines: frozenset[FineKey] = frozenset()
    export_numbers: Mapping[LineKey, int] = field(default_factory=dict)
    accounts: frozenset[AccountKey] = frozenset()


async def sums_to_try(
    connection: Connection, references: References, locked: View
) -> set[tuple[str, str, str, str]]:
    """Returns the oldest sums that wait until something of an account is outstanding, as keys of
    parked records.

    They are those of the accounts of a batch, or else of all accounts that are locked.
    """
    accounts = references.exported or locked.accounts.keys()
    if not accounts:
        return set()
    rows = await connection.fetch(SQL["waiting_sums"], *key_columns(accounts, 3), WAITING_SUMS_MAX)
    return {(row["institution_id"], "payment", row["source"], row["payment_id"]) for row in rows}


async def read_sums(
    connection: Connection,
    references: References,
    locked: View,
    payments: Iterable[Payment],
    parked: Iterable[ParkedEvent],
) -> Sums:
    """Returns the sums among the payments, and what events and parked sums need of fines.

    A sum whose account does not exist, or did not when the accounts were locked, has no fines: it
    waits, and the sweep tries it.
    """
    rows = await _known_sums(connection, payments)
    sums = {lump.key: lump for lump in map(_sum_of, rows)}
    # An original whose account is not locked makes the caller read again.
    needed = {
        fine
        for row in rows
        if (key := _key_of(row)) in references.originals or sums[key].account in locked.accounts
        for fine in _fines_of(row)
    }
    named = references.sums | {item.account for item in parked if item.account is not None}
    accounts = frozenset(named & locked.accounts.keys())
    debits = await debits_of_accounts(connection, accounts)
    return Sums(sums, frozenset(needed | debits.keys()), dict(debits.values()), accounts)


async def export_numbers(
    connection: Connection, sums: Sums, fines: Mapping[FineKey, Fine]
) -> Mapping[LineKey, int]:
    """Returns the export numbers of the live lines of all debits that the sums may come to pay.

    Beside those of `sums` they are those of `fines` of which nothing is outstanding: a reversal in
    the same commit may change that, and then they have their place in the order of the exports.
    """
    of_debits = {
        key
        for fine in fines.values()
        if fine.facts.account in sums.accounts
        and fine.status is Status.TRANSFERRED
        and not fine.facts.is_credit
        and (key := fine.line_key) is not None
    }
    unread = of_debits - sums.export_numbers.keys()
    if not unread:
        return sums.export_numbers
    rows = await connection.fetch(SQL["export_numbers_of_lines"], *key_columns(unread, 2))
    read = {LineKey(row["institution_id"], row["line"]): int(row["export_number"]) for row in rows}
    return {**sums.export_numbers, **read}


async def _known_sums(
    connection: Connection, payments: Iterable[Payment]
) -> Sequence[asyncpg.Record]:
    """The rows of the payments that are sums: these name no fine and no line."""
    keys = {
        payment.key
        for payment in payments
        if payment.kind is PaymentKind.PAYMENT
        and payment.fine_id is None
        and payment.bursar_transaction_id is None
    }
    if not keys:
        return ()
    return await connection.fetch(SQL["read_payment_sum"], *key_columns(keys, 3))


def _key_of(row: asyncpg.Record) -> SourceKey:
    return SourceKey(row["institution_id"], row["source"], row["payment_id"])


def _sum_of(row: asyncpg.Record) -> LumpSum:
    named = orjson.loads(row["allocations"] or "[]")
    return LumpSum(
        _key_of(row),
        AccountKey(row["institution_id"], row["patron_id"], row["currency"]),
        LumpRule(row["rule"]),
        row["tried"],
        row["waits"],
        tuple(Share(*share) for share in named),
        tuple(map(Share, row["fines"] or (), row["amounts"] or ())),
    )


def _fines_of(row: asyncpg.Record) -> frozenset[FineKey]:
    named = {*(row["fines"] or ()), row["credited_fine"]}
    return frozenset(FineKey(row["institution_id"], each) for each in named if each is not None)


async def debits_of_accounts(
    connection: Connection, accounts: Collection[AccountKey]
) -> dict[FineKey, tuple[LineKey, int]]:
    """Returns the fines that sums of the accounts may pay, with their live line and the export
    number of its batch.

    Of each account the debit that was exported last is among them, whether it is paid or not.
    """
    if not accounts:
        return {}
    rows = await connection.fetch(SQL["debits_of_accounts"], *key_columns(accounts, 3))
    return {
        FineKey(row["institution_id"], row["fine_id"]): (
            LineKey(row["institution_id"], row["line"]),
            int(row["export_number"]),
        )
        for row in rows
    }


async def write_sums(connection: Connection, changed: Changed[SourceKey, LumpSum]) -> None:
    """Writes what a fold has changed of sums, and the parts of those that it has paid."""
    if changed.added:
        # In the order of arrival: the column `arrival` numbers the rows as they come.
        rows = [SUM.row(lump) for lump in changed.added]
        await connection.copy_records_to_table(SUM.name, records=rows, columns=SUM.columns)
    if changed.changed:
        cells = columns_of(map(SUM.changed_row, changed.changed))
        await connection.execute(SQL["write_payment_sum"], *cells)
    parts = [
        (*lump.key, place, share.fine_id, share.amount)
        for lump in changed.written
        for place, share in enumerate(lump.parts, start=1)
    ]
    if parts:
        await connection.copy_records_to_table("payment_part", records=parts, columns=PART_COLUMNS)
