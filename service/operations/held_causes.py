"""Which dispute and which refusal holds fines back, from the ledger."""

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from ..core.words import Kind
from ..database.session import Connection, statements
from ..export.selection import Exclusion
from .held_fine import HeldFine

SQL = statements("operators")
KINDS = {Exclusion.IN_DISPUTE: Kind.DISPUTED, Exclusion.REFUSED: Kind.EXPORT_REJECTED}
PAGE_FINES = 1_000


async def with_causes(connection: Connection, held: Sequence[HeldFine]) -> list[HeldFine]:
    """The same fines in their order; disputes and refusals with the record that brought them."""
    caused = [one for one in held if one.reason in KINDS]
    causes: dict[tuple[str, str, str], asyncpg.Record] = {}
    for begin in range(0, len(caused), PAGE_FINES):
        keys = {
            (*one.fine.facts.key, KINDS[one.reason].value)
            for one in caused[begin : begin + PAGE_FINES]
        }
        columns = [[key[place] for key in sorted(keys)] for place in range(3)]
        for row in await connection.fetch(SQL["causes_of_holding"], *columns):
            causes[(row["institution_id"], row["fine_id"], row["kind"])] = row
    return [_with_cause(one, causes) for one in held]


def _with_cause(held: HeldFine, causes: dict[tuple[str, str, str], asyncpg.Record]) -> HeldFine:
    kind = KINDS.get(held.reason)
    row = None if kind is None else causes.get((*held.fine.facts.key, kind.value))
    if row is None:
        return held
    on = row["occurred_at"].date()
    if held.reason is Exclusion.IN_DISPUTE:
        words = f"in dispute since {on} (change {row['change_id']} of {row['source']})"
    else:
        words = (
            f"refused on {on} in batch {row['batch_number']} of {row['profile']} "
            f"(line {row['bursar_transaction_id']}): {held.fine.refused_reason}"
        )
    return replace(held, in_words=words)
