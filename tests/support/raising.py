"""A recovery has raised the numbers of an account whose readers knew more than its database."""

from __future__ import annotations

from service.database.session import Pool

BEGUN = """
INSERT INTO recovery (epoch, state, finding, evidence, operator, reading_since)
VALUES ($1, 'reading', 'unknown_record', '[]', 'ann', clock_timestamp())
"""
AHEAD = """
INSERT INTO recovery_account
SELECT
    institution_id, patron_id, currency, $1, epoch, sequence, 1, $2, 0, 0,
    '{"kind": "waiver", "fine_id": "F-1", "occurred_at": "2026-09-01T00:00:00Z"}', $2
FROM account
WHERE institution_id = '6050' AND patron_id = 'P-1'
"""
RAISED = """
UPDATE account
SET epoch = $1, sequence = CASE patron_id WHEN 'P-1' THEN $2 ELSE sequence END
"""


async def begin_recovery(pool: Pool, epoch: int, raised_to: int) -> None:
    """The inputs are to be read again. The lost database had used the numbers of the first account
    up to `raised_to`; readers know of no more events of the others.
    """
    await pool.execute(BEGUN, epoch)
    await pool.execute(AHEAD, epoch, raised_to)
    await pool.execute(RAISED, epoch, raised_to)
