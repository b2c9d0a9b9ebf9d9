"""Makes what a test has written old, and purges it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from service.database.session import Connection
from service.operations.purge import KINDS, Kind, purge
from service.settings.retention import RetentionLimits
from tests.support.guards import Unguarded
from tests.support.plans import Call, Reads
from tests.support.write_path import WritePath

AGES = {
    "rejected": "recorded_at",
    "parked_error": "recorded_at",
    "quarantine_release": "released_at",
    "export_batch": "sealed_at",
    "export_run": "cutoff",
    "operator_action": "recorded_at",
}
NOW = 0  # days: all that was there before the transaction is old
_PLACE = (["library.bursar-payment.v1"], [6050], [7])
_PAGES = (
    *("remove_documents", "remove_releases", "remove_runs", "remove_operator_texts"),
    *("old_originals", "old_originals_of_imports"),
    *("count_documents", "count_originals", "count_originals_of_imports", "count_releases"),
    *("count_runs", "count_operator_texts"),
)
# With the most rows they may read; of pages, where everything is old and where nothing is.
STATEMENTS_OF_PURGE = (
    *(Call("retention", name, Reads.KEY, (days, 100)) for days in (NOW, 400) for name in _PAGES),
    Call(
        "retention",
        "old_parked_errors",
        Reads.KEY,
        (NOW, datetime(2026, 3, 1, tzinfo=UTC), "", 0, 0, 100),
    ),
    Call("retention", "remove_parked_errors", Reads.KEY, _PLACE),
    Call("retention", "remove_originals", Reads.KEY, (*_PLACE, ["unknown_line"], ["{}"])),
    Call("retention", "oldest_kept", Reads.KEY),
)


async def grow_old(path: WritePath, days: int) -> None:
    """Everything that a purge looks at becomes older by so many days."""
    async with path.pool.acquire() as connection:
        await make_older(connection, days)


async def make_older(connection: Connection, days: int) -> None:
    """The same by a connection alone."""
    async with connection.transaction():
        for table in AGES:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for table, column in AGES.items():
            await connection.execute(
                f"UPDATE {table} SET {column} = {column} - $1::integer * interval '1 day'", days
            )
        for table in AGES:
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def purged(path: WritePath, **limits: int) -> Mapping[str, int]:
    """What a purge has removed, by kind, without the kinds of which there was nothing."""
    removed = await purge(Unguarded(path.pool), RetentionLimits(**limits))
    return {kind: count for kind, count in removed.items() if count}


def kind_of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


async def purge_now(path: WritePath, kind: Kind, rows_max: int = 100) -> int:
    """Removes a page of what was there before, whatever its age."""
    async with path.pool.acquire() as connection, connection.transaction():
        return await kind.remove(connection, NOW, rows_max)
