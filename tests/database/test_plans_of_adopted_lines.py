"""Statements over adopted lines grow with the rows alone right after a recovery has adopted them.

The other tables have no statistics then; the recovery takes those of the lines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.database.session import Connection, statements
from tests.database.test_plans import Statistics, ledger
from tests.support.adopted_calls import CREDITS
from tests.support.large_ledger import INSTITUTION
from tests.support.plans import Reads, rows_handled
from tests.support.services import Services

FINES = 10_000
STATEMENT_SECONDS_MAX = 20
# Every second fine has one; most of these fines are open.
ADOPTED = """
INSERT INTO adopted_line (
    institution_id, bursar_transaction_id, fine_id, profile, batch_number, place, amount, currency,
    fine_status, terms_id, cutoff, export_number
)
SELECT '6050', (3000000000000000 + n)::text, 'F-' || n, 'SIS', 1000 + n / 500, n % 500, 1000, 'USD',
    'Transferred', 'terms', timestamptz '2026-04-01 00:00Z', 200000000000000 + n / 500
FROM generate_series(1, 10000, 2) AS n;
"""
TAKEN = ADOPTED + statements("recovery")["take_statistics"]
FINE_IDS = [f"F-{number}" for number in range(1, 2_001)]


@pytest.fixture(scope="module")
async def restored(services: Services, database_template: str) -> AsyncIterator[Connection]:
    async with ledger(services, database_template, Statistics.NONE, FINES) as connection:
        await connection.execute("ALTER TABLE adopted_line SET (autovacuum_enabled = false)")
        await connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS_MAX}s'")
        yield connection


@pytest.mark.parametrize(
    ("file", "name", "arguments"),
    [
        ("operators", "held_counted", ()),
        ("adopted", "waiting_lines_counted", ()),
        ("adopted", "waiting_lines_listed", (*[None] * 5, 1_000_000)),
        ("adopted", "known_fines_with_lines", (0, "", -1, 500)),
        ("adopted", "fines_with_adopted_lines", (INSTITUTION, FINE_IDS, *CREDITS)),
    ],
)
async def test_a_statement_over_adopted_lines_reads_no_more_than_its_tables(
    restored: Connection, file: str, name: str, arguments: tuple[object, ...]
) -> None:
    sql = statements(file)[name]
    assert await rows_handled(restored, sql, *arguments, before=TAKEN) <= (
        Reads.TABLES.rows_max(FINES)
    )
