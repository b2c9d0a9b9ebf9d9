"""The descriptions of the tables of the ledger, compared with the database."""

from __future__ import annotations

import pytest

from service.database import adopted_lines, failed_records, lump_sums, parked, tables
from service.database.tables import Table
from tests.support.write_path import WritePath

DESCRIBED = [
    value
    for module in (tables, parked, failed_records, lump_sums, adopted_lines)
    for value in vars(module).values()
    if isinstance(value, Table)
]
GENERATED = {
    "fine_amendment": {"unconfirmed"},
    "parked": {"arrival"},
    "parked_error": {"recorded_at"},
    "payment_sum": {"arrival"},
    "rejected": {"recorded_at", "state", "original_removed_at", "original_sha256", "named"},
}
OF_EXPORTS = {"export_batch"}  # its other columns are written when the batch is sealed

COLUMNS = """
SELECT column_name FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name = $1
"""
KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
 WHERE indrelid = $1::regclass AND indisprimary
"""


@pytest.mark.parametrize("table", DESCRIBED, ids=lambda table: table.name)
async def test_a_description_names_the_columns_of_its_table(
    path: WritePath, table: Table[object]
) -> None:
    names = {row["column_name"] for row in await path.pool.fetch(COLUMNS, table.name)}
    described = set(table.columns)
    assert described <= names
    missing = names - described - GENERATED.get(table.name, set())
    assert missing == set() or table.name in OF_EXPORTS


@pytest.mark.parametrize("table", DESCRIBED, ids=lambda table: table.name)
async def test_a_description_begins_with_the_key(path: WritePath, table: Table[object]) -> None:
    key = {row["attname"] for row in await path.pool.fetch(KEY, table.name)}
    if table.name == "rejected":
        key -= {"reason"}
    assert set(table.columns[: len(key)]) == key
