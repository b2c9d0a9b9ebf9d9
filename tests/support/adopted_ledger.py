"""Lines that a recovery has adopted, in the large ledger of one institution."""

from __future__ import annotations

# Lines that a recovery has adopted: those of exported fines are taken, and a twentieth as many as
# there are fines wait, in batches of their own, every second for another amount than remains.
ADOPTED = """
INSERT INTO adopted_line (
    institution_id, bursar_transaction_id, fine_id, profile, batch_number, place, amount, currency,
    fine_status, terms_id, cutoff, export_number, state, patron_id
)
SELECT '6050', (1000000000000000 + n)::text, 'F-' || n,
    CASE WHEN n % 5 = 0 THEN 'SIS' ELSE 'LOST' END, 1 + n / 10000, n % 10000,
    CASE WHEN n % 40 = 2 THEN 900 ELSE 1000 END, 'USD', 'Transferred', 'terms',
    timestamptz '2026-02-01 00:00Z', 100000000000001 + n / 10000,
    CASE WHEN n % 5 = 0 THEN 'taken' ELSE 'waiting' END,
    'P-' || $1::bigint / 10 + n % (($2::bigint - $1::bigint + 1) / 10)
FROM generate_series($1::bigint, $2::bigint) AS n
WHERE n % 5 = 0 OR n % 20 = 2
"""

ADOPTED_BATCHES = """
INSERT INTO export_batch (
    institution_id, profile, batch_number, run_id, export_number, state, currency, fine_count,
    total, file_name, sha256, previous_sha256, document, document_headers, manifest,
    manifest_headers, outbox_id, cutoff, sealed_at
)
SELECT '6050', 'LOST', batch_number, 'lost-' || batch_number, 300000000000000 + batch_number,
    'sealed', 'USD', count(*), sum(amount), 'lost-' || batch_number || '.xml',
    sha256(batch_number::text::bytea),
    CASE WHEN batch_number > 1 THEN sha256((batch_number - 1)::text::bytea) END, 'document',
    'names', 'manifest', '', 0, timestamptz '2026-02-01 00:00Z', timestamptz '2026-02-01 00:00Z'
FROM adopted_line
WHERE profile = 'LOST'
GROUP BY batch_number
ON CONFLICT (institution_id, profile, batch_number) DO UPDATE
    SET
        fine_count = excluded.fine_count,
        total = excluded.total
"""
