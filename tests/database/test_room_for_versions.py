"""Accounts and patrons are written again and again, and their tables stay as large as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.exports import patron
from tests.support.inputs import fine_created
from tests.support.write_path import Record, WritePath, record

PATRONS = 400  # several pages of each table
THIRDS = 3
POLLS = 7
BEGIN = datetime(2026, 9, 12, 19, 0, tzinfo=UTC)
SIZES = "SELECT pg_relation_size('account') AS account, pg_relation_size('patron') AS patron"


def poll(number: int, patrons: range) -> list[Record]:
    """A fine of each of these patrons, with newer data than in the polls before."""
    time = (BEGIN + timedelta(hours=number)).isoformat()
    return [
        record(
            "fine-created.v1",
            fine_created(fine_id=f"F-{number}-{each}", patron=patron(each, name=f"Doe {number}")),
            time,
        )
        for each in patrons
    ]


async def test_new_versions_stay_on_the_page_of_the_old_ones(path: WritePath) -> None:
    for table in ("account", "patron"):
        await path.pool.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await path.take(*poll(0, range(PATRONS)))
    before = await path.rows(SIZES)
    for number in range(1, POLLS):
        await path.take(*poll(number, range(number % THIRDS, PATRONS, THIRDS)))
        # The service leaves this to the next reader of a page, whom transactions that go on in
        # other databases of the server keep from it.
        await path.pool.execute("VACUUM account, patron")
    assert await path.rows(SIZES) == before
    assert await path.value("SELECT count(*) FROM patron WHERE name = 'Doe 0'") == 0
