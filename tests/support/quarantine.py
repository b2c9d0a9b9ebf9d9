"""Batches and events of a test in quarantine, as the relay puts them there."""

from __future__ import annotations

import asyncpg

from service.core.ledger import BatchKey
from service.database.quarantine import QuarantineId
from service.database.session import statements
from service.operations import quarantined
from service.operations.gauges import Gauges
from service.operations.quarantined import QuarantineFilter
from service.runtime.telemetry import Metrics
from tests.support.commands import Commands
from tests.support.installation import institution, profile
from tests.support.write_path import PREFIX, WritePath, profiles_of

PROFILE = institution() + profile(
    "SIS", fine_types=["OVERDUEFINE", "LOSTITEMFINE"], close_paid_lost_loan=True
)
WHY = ("--reason", "the topic takes 16 MiB now", "--operator", "ann")
DOCUMENT, MANIFEST = "export-batch.v1", "export-manifest.v1"
KEY = BatchKey("6050", "SIS", 1)

# As release 0.3.0 has it, whose relay runs beside this one during an upgrade.
QUARANTINED_BY_0_3_0 = """
INSERT INTO outbox_set_aside (
    outbox_id, place, topic, record_key, payload, headers, reason, recorded_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
"""


async def export(path: WritePath) -> None:
    await path.export(PROFILE)


async def resend(path: WritePath) -> None:
    assert await path.exports(profiles_of(PROFILE)).resend(KEY)


async def rows_for(path: WritePath, contract: str) -> list[asyncpg.Record]:
    """The outbox rows of a contract's topic."""
    query = "SELECT * FROM outbox WHERE topic = $1 ORDER BY id"
    return await path.pool.fetch(query, PREFIX + contract)


async def put_in_quarantine(path: WritePath, *contracts: str) -> None:
    """Puts the records of these contracts in quarantine, as the relay does; sends all others."""
    statement = statements("outbox")["put_in_quarantine"]
    for contract in contracts:
        for row in await rows_for(path, contract):
            for place in range(len(row["keys"])):
                await insert(path, statement, row, place)
    await path.pool.execute("DELETE FROM outbox")


async def insert(path: WritePath, statement: str, row: asyncpg.Record, place: int = 0) -> None:
    columns = (row["keys"][place], row["payloads"][place], row["headers"][place])
    values = (row["id"], place, row["topic"], *columns, "too_large", row["recorded_at"])
    await path.pool.execute(statement, *values)


async def in_quarantine(path: WritePath) -> list[QuarantineId]:
    async with path.pool.acquire() as connection:
        records = await quarantined.find(connection, QuarantineFilter())
    return [record.id for record in records]


async def state(commands: Commands) -> object:
    (batch,) = await commands.lines("export", "list")
    return batch["state"]


async def gauges(path: WritePath) -> tuple[float | None, float | None]:
    """The gauge and its former name."""
    metrics = Metrics()
    await Gauges(path.pool, metrics).run_once()
    names = ("bursar_quarantined_records", "bursar_set_aside_rows")
    first, second = (metrics.registry.get_sample_value(name) for name in names)
    return first, second
