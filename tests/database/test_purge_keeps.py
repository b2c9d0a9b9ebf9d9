"""Under load a purge removes all that it may, again and again, and nothing misses it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from service.database.outbox import unpack_headers
from service.operations.purge import KINDS
from service.operations.reconcile import reconcile
from service.restore import known
from tests.support.mixture import PROFILES, Exported, first_fines, mixture
from tests.support.purging import purge_now
from tests.support.write_path import Record, Row, WritePath, tables_of

POLL_RECORDS = 100
# What the ledger is: all that rules decide on, and what readers are told.
LEDGER = (
    *("account", "fine", "fine_amendment", "ledger_transaction", "transaction_text", "payment"),
    *("payment_reversed", "payment_sum", "payment_part", "fine_change", "export_response"),
    *("patron", "terms", "parked", "parked_original", "loan_closed", "export_line"),
)


@dataclass(slots=True)
class Published:
    """A record as a topic has it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


async def sent(path: WritePath) -> list[Published]:
    """Empties the outbox, as the relay does."""
    rows = await path.pool.fetch("DELETE FROM outbox RETURNING topic, keys, payloads, headers")
    return [
        Published(row["topic"], key, value, unpack_headers(packed))
        for row in rows
        for key, value, packed in zip(row["keys"], row["payloads"], row["headers"], strict=True)
    ]


async def exported(path: WritePath) -> Exported:
    lines = await path.rows("SELECT bursar_transaction_id AS id FROM export_line ORDER BY 1")
    batches = await path.rows("SELECT profile, batch_number AS number FROM export_batch ORDER BY 1")
    return Exported(
        [str(row["id"]) for row in lines],
        [(str(row["profile"]), int(str(row["number"]))) for row in batches],
    )


async def purge_until(path: WritePath, stop: asyncio.Event) -> int:
    """Purges every kind in small pages, whatever its age; returns the number of rows."""
    removed = 0
    while not stop.is_set():
        for kind in KINDS:
            removed += await purge_now(path, kind, rows_max=7)
    return removed


async def load(path: WritePath, records: list[Record]) -> list[Published]:
    published: list[Published] = []
    for start in range(0, len(records), POLL_RECORDS):
        await path.take(*records[start : start + POLL_RECORDS])
        if start % (5 * POLL_RECORDS) == 0:
            await path.export(PROFILES)
        published += await sent(path)
    return published


async def ledger(path: WritePath) -> dict[str, list[Row]]:
    tables = await tables_of(path.pool)
    return {name: tables[name] for name in LEDGER}


@pytest.mark.parametrize(
    ("fines", "records"),
    [(100, 700), pytest.param(2_000, 20_000, marks=pytest.mark.slow)],
)
async def test_a_purge_under_load_loses_nothing_that_is_needed(
    path: WritePath, fines: int, records: int
) -> None:
    created = first_fines(fines)
    await path.take(*created)
    await path.export(PROFILES)
    published = await sent(path)
    mixed = mixture(7, records, fines, await exported(path))
    stop = asyncio.Event()
    purging = asyncio.create_task(purge_until(path, stop))
    published += await load(path, mixed)
    stop.set()
    assert await purging > 0
    for kind in KINDS:
        while await purge_now(path, kind):
            pass
    assert await path.value("SELECT count(*) FROM export_batch WHERE document <> ''") == 0
    await check_nothing_is_missed(path, [*created, *mixed], published)


async def check_nothing_is_missed(
    path: WritePath, records: list[Record], published: list[Published]
) -> None:
    """The books agree; the restore check knows all that was published; records are repeats."""
    assert (await reconcile(path.pool)).agrees
    async with path.pool.acquire() as connection:
        assert await known.unknown(connection, published) == []
    waiting = "SELECT count(*) FROM parked WHERE record_value IS NOT NULL"
    assert await path.value(waiting) == await path.value("SELECT count(*) FROM parked")
    before = await ledger(path)
    outcomes = (await path.take(*records)).outcomes
    assert not [name for name in outcomes if name in ("applied", "noted")], outcomes
    assert await ledger(path) == before
