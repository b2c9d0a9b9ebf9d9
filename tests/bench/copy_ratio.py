"""The other yardstick: plain COPY of the rows that a run left, as fast as one connection can."""

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from service.database.session import Connection
from tests.bench.world import BenchFailed, new_database
from tests.support.services import Services

# Whole tables by name, in an order that their keys allow; a query takes a part of one.
EVERYTHING: Mapping[str, str] = {
    name: f"SELECT * FROM {name}"
    for name in (
        "account patron terms fine ledger_transaction payment fine_change export_batch export_line"
        " loan_closed"
    ).split()
}
OF_AN_EXPORT: Mapping[str, str] = {
    "account": "SELECT * FROM account",
    "fine": "SELECT * FROM fine",
    "ledger_transaction": "SELECT * FROM ledger_transaction WHERE kind LIKE 'export%'",
    "export_batch": "SELECT * FROM export_batch",
    "export_line": "SELECT * FROM export_line",
}


@dataclass(frozen=True)
class Copied:
    rows: int
    seconds: float


async def copy_again(
    services: Services, left_in: str, commits: int, tables: Mapping[str, str] = EVERYTHING
) -> Copied:
    """Every row of `left_in` into a new database with all indexes, in `commits` equal commits.

    The rows are taken in the order they lie in, as bytes of PostgreSQL's own format: nothing is
    left to do but to send them.
    """
    source = await asyncpg.connect(left_in)
    counts = {
        name: await source.fetchval(f"SELECT count(*) FROM ({query}) AS part")
        for name, query in tables.items()
    }
    if not any(counts.values()):
        raise BenchFailed("the run left no rows")
    seconds = 0.0
    async with new_database(services) as url:
        target = await asyncpg.connect(url)
        for step in range(commits):
            parts = {
                name: await _part(source, query, counts[name], step, commits)
                for name, query in tables.items()
            }
            started = time.perf_counter()
            async with target.transaction():
                for name, data in parts.items():
                    if data is not None:
                        await target.copy_to_table(name, source=data, format="binary")
            seconds += time.perf_counter() - started
        await target.close()
    await source.close()
    return Copied(sum(counts.values()), seconds)


async def _part(
    source: Connection, query: str, count: int, step: int, steps: int
) -> io.BytesIO | None:
    first, end = count * step // steps, count * (step + 1) // steps
    if first == end:
        return None
    data = io.BytesIO()
    await source.copy_from_query(
        f"{query} ORDER BY ctid LIMIT {end - first} OFFSET {first}", output=data, format="binary"
    )
    data.seek(0)
    return data
