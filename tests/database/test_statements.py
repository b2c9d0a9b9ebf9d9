"""Every statement in sql/*.sql is sound against the migrated database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service.database.session import statements

FOLDER = Path(__file__).parents[2] / "service" / "database" / "sql"
FILES = sorted(path.stem for path in FOLDER.glob("*.sql"))


def all_statements() -> Iterator[tuple[str, str]]:
    for file in FILES:
        for name in statements(file):
            yield file, name


def test_there_are_statements_to_look_at() -> None:
    assert "ledger" in FILES
    assert len(list(all_statements())) > 20


async def test_the_database_prepares_every_statement(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    broken = []
    try:
        for file, name in all_statements():
            try:
                await connection.prepare(statements(file)[name])
            except asyncpg.PostgresError as problem:
                broken.append(f"{file}.{name}: {problem}")
    finally:
        await connection.close()
    assert broken == []


@pytest.mark.parametrize(
    ("name", "arguments"), [("lines_and_payments", (None, 100)), ("totals_of_profiles", (None,))]
)
async def test_a_function_that_statements_share_is_part_of_their_plans(
    database_url: str, name: str, arguments: tuple[object, ...]
) -> None:
    """One that is called hides what it reads from the tests of plans, and knows no statistics."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(f"EXPLAIN {statements('reconcile')[name]}", *arguments)
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "payment_part" in plan
    assert "Function Scan" not in plan
