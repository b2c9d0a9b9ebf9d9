"""Reads and writes sums without a line (payments that name a patron, but neither a fine nor a
line): how each was divided, and which fines it may pay.
"""

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
    """The sums without a line that events refer to, by their identity, and what the rules need to
    know of fines to divide them.

    `fines` are the fines that the sums may pay, or that the reversal of a sum changes.
    `export_numbers` has, for the live line of each fine that a sum may pay, the export number of
    its batch, which sets the order of payment. `accounts` are the accounts whose sums the commit
    may decide about.
    """

    by_key: Mapping[SourceKey, LumpSum] = field(default_factory=dict)
    fines: frozenset[FineKey] = frozenset()
    export_numbers: Mapping[LineKey, int] = field(default_factory=dict)
    accounts: frozenset[AccountKey] = frozenset()


async def sums_to_try(
    connection: Connection, references: References, locked: View
) -> set[tuple[str, str, str, str]]:
    """Returns the keys of the oldest parked sums without a line of each account that are to be
    tried again, because their account may now have outstanding fines.

    If the events export a batch, these are sums of the batch's accounts, else of all locked
    accounts.
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
    """Returns those of the payments that are sums without a line, and the fines that these and
    parked sums may pay.

    If the account of a sum did not exist when the accounts were locked, no fines are read for the
    sum: it stays parked, and the sweep tries it again later.
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
    """Returns the export numbers of the batches of all fines that the sums may pay, by the fines'
    live lines.

    Beside the numbers in `sums`, the result has those for the fines in `fines` that are already
    paid: a reversal in the same commit may make such a fine outstanding again, and then a sum may
    pay it in the order of the exports.
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
    read = {
        LineKey(row["institution_id"], row["bursar_transaction_id"]): int(row["export_number"])
        for row in rows
    }
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
    """Returns the fines of the accounts that a sum may pay, each with its live line and the export
    number of the line's batch.

    The fine of each account that was exported last is always among them, even if it is paid.
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
    """Writes the sums without a line that the rules have changed, and for sums that were paid the
    part that each fine got.
    """
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
