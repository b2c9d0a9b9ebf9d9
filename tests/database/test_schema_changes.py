"""A migration of a later release beside a process of this one: its statements go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database.session import Pool, statements
from service.runtime.failures import with_current_schema
from tests.support.write_path import WritePath, change, fine, payment

FOLDER = Path(__file__).parents[2] / "service" / "database" / "sql"
WHATEVER = re.compile(r"(?:\bSELECT|\bDISTINCT|\bALL|\bRETURNING|,|\.)\s*\*")
COMMENT = re.compile(r"--.*$", re.MULTILINE)
# Returned by statements inside the write path's transaction: the driver cannot prepare them anew.
RETYPE = "ALTER TABLE fine ALTER COLUMN comment TYPE varchar(2000)"


def every_statement() -> Iterator[tuple[str, str]]:
    for file in sorted(FOLDER.glob("*.sql")):
        for name, sql in statements(file.stem).items():
            yield f"{file.stem}.{name}", COMMENT.sub("", sql)


def test_every_statement_names_its_columns() -> None:
    """`*` would change what a statement returns, and end its caller, with each new column."""
    assert [name for name, sql in every_statement() if WHATEVER.search(named_within(sql))] == []


def named_within(sql: str) -> str:
    """Without the `*` of a subquery `known`, which names its columns itself."""
    return sql.replace("SELECT known.*\n", "") if ") AS known" in sql else sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM fine",
        "SELECT fine.* FROM fine",
        "SELECT\n    *,\n    1 AS x\nFROM fine",
        "SELECT a, * FROM fine",
        "UPDATE fine SET x = 1 RETURNING *",
        "SELECT DISTINCT * FROM fine",
    ],
)
def test_a_statement_that_does_not_is_noticed(sql: str) -> None:
    assert WHATEVER.search(sql)


def test_products_and_counts_are_not_taken_for_columns() -> None:
    assert not WHATEVER.search("SELECT count(*), sign(a) * b, greatest(1024 * 1024, 10 * c)")


async def add_a_column_everywhere(pool: Pool) -> None:
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        await pool.execute(f'ALTER TABLE "{table}" ADD COLUMN of_a_later_release text')


async def test_new_columns_change_nothing_for_a_process_that_runs(path: WritePath) -> None:
    await path.take(fine(), payment(), change())
    await path.sweep()
    await add_a_column_everywhere(path.pool)
    await path.take(fine(fine_id="F-2"), payment(payment_id="P-2"), change(change_id="C-2"))
    await path.sweep()
    assert await path.value("SELECT count(*) FROM fine") == 2
    assert not path.applier.retries


async def test_a_statement_that_returns_another_type_is_run_again(path: WritePath) -> None:
    await path.take(fine())
    await path.pool.execute(RETYPE)
    report = await path.take(fine(fine_id="F-2"), fine())
    assert report.outcomes == {"applied": 1, "repeat": 1}
    assert path.applier.retries == {"InvalidCachedStatementError": 1}


async def test_a_transaction_outside_the_write_path_is_run_again(path: WritePath) -> None:
    await path.take(fine())
    connection = await path.pool.acquire()

    async def comments() -> list[object]:
        async with connection.transaction():
            return [row[0] for row in await connection.fetch("SELECT comment FROM fine")]

    try:
        before = await with_current_schema(comments)
        await path.pool.execute(RETYPE)
        assert await with_current_schema(comments) == before
    finally:
        await path.pool.release(connection)
