"""What was sealed, and what is append-only, is kept so by the database."""

from __future__ import annotations

import json

import asyncpg
import pytest

from tests.support.exports import fines, profiles_with, run
from tests.support.write_path import WritePath

CHANGEABLE = {
    "export_batch": {"state", "outbox_id", "manifest_outbox_id"},
    "export_line": {"state", "reason"},
}
# Texts, by the test below, and by one of tests/database/test_purge.py.
ERASABLE = {
    "ledger_transaction": {"comment", "cause"},
    "operator_action": {"reason", "operator", "texts_removed_at"},
}
APPEND_ONLY = ("ledger_transaction", "operator_action", "loan_closed", "terms", "import_file")
COLUMNS = """
SELECT attname::text AS name FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    await path.take(*fines(3))
    await run(path, profiles_with(2))
    return path


async def is_immutable(path: WritePath, statement: str) -> bool:
    try:
        await path.pool.execute(statement)
    except asyncpg.RestrictViolationError:
        return True
    return False


@pytest.mark.parametrize("table", CHANGEABLE)
async def test_of_a_sealed_row_only_what_is_listed_can_be_changed(
    path: WritePath, table: str
) -> None:
    """A new column fails here until somebody decides on which side it stands."""
    columns = {str(row["name"]) for row in await path.rows(COLUMNS, table)}
    allowed = {
        name
        for name in columns
        if not await is_immutable(path, f"UPDATE {table} SET {name} = {name}")
    }
    assert allowed == CHANGEABLE[table]


@pytest.mark.parametrize("table", [*CHANGEABLE, *APPEND_ONLY])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_no_row_of_it_can_be_removed(path: WritePath, table: str, statement: str) -> None:
    assert await is_immutable(path, statement.format(table))


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_no_column_of_an_append_only_table_can_be_changed(
    path: WritePath, table: str
) -> None:
    for row in await path.rows(COLUMNS, table):
        if row["name"] not in ERASABLE.get(table, ()):
            assert await is_immutable(path, f"UPDATE {table} SET {row['name']} = DEFAULT"), row[
                "name"
            ]


async def test_of_the_ledger_texts_can_be_taken_away_and_nothing_else(path: WritePath) -> None:
    """Releases before this one wrote comments into it, which must be within reach of an erasure."""
    await path.pool.execute(
        "INSERT INTO ledger_transaction SELECT (jsonb_populate_record(kept, jsonb_build_object("
        "'sequence', 900, 'comment', 'by hand', 'cause', jsonb_build_object("
        "'source', 'ERP', 'payment_id', 'R-1', 'comment', 'paid by their mother')))).*"
        " FROM ledger_transaction AS kept ORDER BY patron_id, sequence LIMIT 1"
    )
    row = "UPDATE ledger_transaction SET {} WHERE sequence = 900"
    for change in (
        "comment = 'another'",
        "cause = NULL",
        "cause = cause - 'payment_id'",
        "cause = jsonb_set(cause, '{comment}', '\"another\"')",
        "cause = jsonb_set(cause, '{reason}', '\"another\"')",
        "comment = NULL, amount = amount",
    ):
        assert await is_immutable(path, row.format(change)), change
    await path.pool.execute(row.format("comment = NULL, cause = cause - 'comment' - 'reason'"))
    kept = await path.rows("SELECT comment, cause FROM ledger_transaction WHERE sequence = 900")
    assert [(line["comment"], json.loads(str(line["cause"]))) for line in kept] == [
        (None, {"source": "ERP", "payment_id": "R-1"})
    ]


async def test_the_bytes_of_a_batch_are_refused_by_name_and_stay(path: WritePath) -> None:
    query = "SELECT document, manifest, sha256 FROM export_batch ORDER BY batch_number"
    before = await path.rows(query)
    with pytest.raises(asyncpg.RestrictViolationError, match="export_batch keeps what was sealed"):
        await path.pool.execute("UPDATE export_batch SET state = 'accepted', document = ''")
    assert await path.rows(query) == before


async def test_statements_of_the_release_before_go_on_working(path: WritePath) -> None:
    """0.3.0 changes states and inserts; the statements are written as they stand there."""
    line = await path.value("SELECT min(bursar_transaction_id) FROM export_line")
    await path.pool.execute(
        "UPDATE export_batch SET state = k.state"
        " FROM unnest($1::text [], $2::text [], $3::bigint [], $4::text [])"
        " AS k (institution_id, profile, batch_number, state)"
        " WHERE export_batch.institution_id = k.institution_id"
        " AND export_batch.profile = k.profile AND export_batch.batch_number = k.batch_number",
        *(["6050"], ["bursar"], [1], ["refused"]),
    )
    await path.pool.execute(
        "UPDATE export_line SET state = k.state, reason = k.reason"
        " FROM unnest($1::text [], $2::text [], $3::text [], $4::text [])"
        " AS k (institution_id, bursar_transaction_id, state, reason)"
        " WHERE export_line.institution_id = k.institution_id"
        " AND export_line.bursar_transaction_id = k.bursar_transaction_id",
        *(["6050"], [line], ["refused"], ["unknown_patron"]),
    )
    await path.pool.execute(
        "INSERT INTO export_batch (institution_id, profile, batch_number, run_id, export_number,"
        " state, currency, fine_count, total, file_name, sha256, previous_sha256, document,"
        " document_headers, manifest, manifest_headers, outbox_id, cutoff, sealed_at)"
        " SELECT institution_id, profile, batch_number + 1, run_id, export_number + 1, 'sealed',"
        " currency, fine_count, total, file_name, sha256, sha256, document, document_headers,"
        " manifest, manifest_headers, outbox_id, cutoff, sealed_at"
        " FROM export_batch ORDER BY batch_number DESC LIMIT 1"
    )
    rows = await path.rows("SELECT state FROM export_batch ORDER BY batch_number")
    assert [row["state"] for row in rows] == ["refused", "sealed", "sealed"]
    assert await path.value("SELECT count(*) FROM export_line WHERE state = 'refused'") == 1
