"""A restored database adopts what the lost one has exported, without Kafka between them."""

from __future__ import annotations

from collections.abc import Sequence

from service.database.session import Connection, Pool
from tests.support.write_path import Row, WritePath

READING = """
INSERT INTO recovery (epoch, state, finding, evidence, operator, reading_since)
VALUES (2, 'reading', 'test', '{}', 'test', now())
"""
COUNTERS = ("export_counter", "line_counter", "profile_counter")
DONE = "UPDATE recovery SET state = 'done', ended_at = now() WHERE state <> 'done'"
ADOPTED_BATCHES = """
INSERT INTO adopted_batch (institution_id, profile, batch_number, epoch, terms_id, document)
VALUES ($1, $2, $3, 2, $4, 'published')
"""
# What a manifest and the published events say of each line.
LINES = """
SELECT line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile,
       line.batch_number, line.bursar_transaction_id::numeric::bigint % 100000 AS place,
       line.amount, line.currency, entry.fine_status, entry.terms_id, batch.cutoff,
       batch.export_number, 'waiting' AS state, entry.patron_id
  FROM export_line AS line
  JOIN export_batch AS batch USING (institution_id, profile, batch_number)
  JOIN LATERAL (
       SELECT t.fine_status, t.patron_id, fine.terms_id
         FROM ledger_transaction AS t
         JOIN fine USING (institution_id, fine_id)
        WHERE t.institution_id = line.institution_id AND t.fine_id = line.fine_id
          AND t.kind IN ('export', 'export_and_paid')
          AND t.cause ->> 'bursar_transaction_id' = line.bursar_transaction_id
  ) AS entry ON TRUE
 WHERE (line.profile, line.batch_number) = ($1, $2)
"""


async def adopt(lost: WritePath, restored: WritePath) -> int:
    """Adopts the batches that the restored database does not know; returns the number of lines.

    The recovery is open afterwards: the topics are to be read again.
    """
    await restored.pool.execute(READING)
    known = await restored.rows("SELECT profile, batch_number FROM export_batch")
    for table in COUNTERS:
        await restored.pool.execute(f"DELETE FROM {table}")
        rows = await lost.rows(f"SELECT * FROM {table}")
        await _copy(restored.pool, table, rows)
    lines = 0
    for batch in await lost.rows("SELECT * FROM export_batch ORDER BY export_number"):
        if {key: batch[key] for key in ("profile", "batch_number")} not in known:
            lines += await _adopt(lost, restored, batch)
    return lines


async def end_recovery(restored: WritePath) -> None:
    """The topics have been read again."""
    await restored.pool.execute(DONE)


async def _adopt(lost: WritePath, restored: WritePath, batch: Row) -> int:
    key = (batch["institution_id"], batch["profile"], batch["batch_number"])
    lines = await lost.rows(LINES, batch["profile"], batch["batch_number"])
    async with restored.pool.acquire() as connection, connection.transaction():
        terms = [tuple(row.values()) for row in await lost.rows("SELECT * FROM terms")]
        await connection.executemany(
            "INSERT INTO terms VALUES ($1, $2, $3::jsonb) ON CONFLICT DO NOTHING", terms
        )
        terms_id = lines[0]["terms_id"]
        await connection.execute(ADOPTED_BATCHES, *key, terms_id)
        await _copy(connection, "export_batch", [batch])
        await _copy(connection, "adopted_line", lines)
    return len(lines)


async def _copy(target: Connection | Pool, table: str, rows: Sequence[Row]) -> None:
    if rows:
        records = [tuple(row.values()) for row in rows]
        await target.copy_records_to_table(table, records=records, columns=list(rows[0]))
