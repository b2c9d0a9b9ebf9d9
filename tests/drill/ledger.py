"""The books of a database as they are compared: before the disaster, and after the recovery."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tests.support.process import Site

Key = tuple[object, ...]
Rows = Mapping[Key, Key]

# What must be the same afterwards: the first columns are the key, as many as the number says.
TABLES: Mapping[str, tuple[int, str]] = {
    "account": (3, "institution_id, patron_id, currency, active, transferred"),
    "export_batch": (3, "institution_id, profile, batch_number, sha256, total, fine_count"),
    "export_line": (
        2,
        "institution_id, bursar_transaction_id, fine_id, profile, batch_number, amount, state",
    ),
    "loan_closed": (2, "institution_id, loan_id, batch_number"),
    "payment": (3, "institution_id, source, payment_id, kind, amount"),
}
EXPLAINED = ("account", "export_line")  # a recovery lists those that it could not bring back


@dataclass(frozen=True, slots=True)
class Ledger:
    """The rows of each table of TABLES, by their keys."""

    tables: Mapping[str, Rows]

    def differences(self, later: Ledger, explained: Collection[Key]) -> Iterator[str]:
        """What is missing from `later` or says something else there, one line each.

        Accounts and lines that are `explained` may differ. What is new in `later` is no difference:
        records that came since have been read.
        """
        for table, rows in self.tables.items():
            others = later.tables[table]
            for key, row in rows.items():
                if table in EXPLAINED and key in explained:
                    continue
                if others.get(key) != row:
                    yield f"{table} {key}: {row} before, {others.get(key)} after"


async def read_ledger(site: Site) -> Ledger:
    """Reads the books as they are now."""
    tables: dict[str, Rows] = {}
    for table, (keys, columns) in TABLES.items():
        rows = await site.rows(f"SELECT {columns} FROM {table}")
        whole = [tuple(row.values()) for row in rows]
        tables[table] = {row[:keys]: row[keys:] for row in whole}
    return Ledger(tables)
