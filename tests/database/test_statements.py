"""Every statement in sql/*.sql is sound against the migrated database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg

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
