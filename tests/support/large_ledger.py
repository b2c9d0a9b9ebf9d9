"""A large ledger of one institution, made in SQL: its books agree, and every table has rows."""

from __future__ import annotations

from service.database.session import Connection
from tests.support.adopted_ledger import ADOPTED, ADOPTED_BATCHES

INSTITUTION = "6050"

# Of ten fines: two exported (one of them paid in part), two closed in the library, six open.
# $1 and $2: the numbers of the first fine and of the last. Every amount is 10.00.
FINES = """
INSERT INTO fine (
    institution_id, fine_id, patron_id, currency, type, amount, created_at, loan_id, exportable,
    digest, status, considered, remaining, outstanding, line, terms_id, payments_live, released,
    changed_at
)
SELECT
    '6050', 'F-' || n, 'P-' || $1::bigint / 10 + n % (($2::bigint - $1::bigint + 1) / 10), 'USD',
    'OVERDUEFINE', 1000,
    timestamptz '2026-01-01 00:00Z' + n * interval '1 second', 'L-' || n, n % 1000 <> 4,
    sha256(n::text::bytea),
    CASE WHEN n % 5 = 0 THEN 'Transferred' WHEN n % 5 = 3 THEN 'Closed'
        WHEN n % 50 = 1 THEN 'In dispute' ELSE 'Active' END,
    CASE WHEN n % 5 = 3 THEN 'closed' ELSE 'active' END,
    CASE WHEN n % 5 IN (0, 3) THEN 0 ELSE 1000 END,
    CASE WHEN n % 10 = 0 THEN 600 WHEN n % 5 = 0 THEN 1000 ELSE 0 END,
    CASE WHEN n % 5 = 0 THEN (1000000000000000 + n)::text END,
    CASE WHEN n % 5 = 0 THEN 'terms' END,
    CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END, FALSE, timestamptz '2026-02-01 00:00Z'
FROM generate_series($1::bigint, $2::bigint) AS n
"""

# Every second fine was adjusted there and back, or was disputed at some time.
AMENDMENTS = """
INSERT INTO fine_amendment (
    institution_id, fine_id, amount_created, adjusted_at, disputed_at, unconfirmed
)
SELECT '6050', 'F-' || n, CASE WHEN n % 4 = 0 THEN 1000 END,
    CASE WHEN n % 4 = 0 THEN timestamptz '2026-01-15 00:00Z' END,
    CASE WHEN n % 4 = 2 THEN timestamptz '2026-01-15 00:00Z' END, FALSE
FROM generate_series($1::bigint + $1::bigint % 2, $2::bigint, 2) AS n
"""

# Each fine was created; then it was exported or closed; then a part of it was paid.
TRANSACTIONS = """
INSERT INTO ledger_transaction (
    institution_id, patron_id, currency, sequence, epoch, transaction_id, fine_id, kind, label,
    amount, active_change, transferred_change, active, transferred, cause, fine_status,
    fine_considered, fine_remaining, fine_outstanding, occurred_at, recorded_at
)
SELECT
    '6050', patron_id, 'USD', row_number() OVER account, 1, phase || '-' || n, 'F-' || n, kind,
    kind, amount, active_change, transferred_change, sum(active_change) OVER account,
    sum(transferred_change) OVER account, cause, fine_status,
    CASE WHEN fine_status = 'Closed' THEN 'closed' ELSE 'active' END, remaining, outstanding,
    occurred_at, occurred_at
FROM (
    SELECT n, 'P-' || $1::bigint / 10 + n % (($2::bigint - $1::bigint + 1) / 10) AS patron_id,
        effect.*,
        timestamptz '2026-01-01 00:00Z' + effect.phase * interval '30 days'
        + n * interval '1 second' AS occurred_at
    FROM generate_series($1::bigint, $2::bigint) AS n
    CROSS JOIN LATERAL (
        SELECT 1, 'fine', 1000, 1000, 0, 1000, 0, 'Active', NULL::jsonb
        UNION ALL
        SELECT 2, 'export', 1000, -1000, 1000, 0, 1000, 'Transferred', jsonb_build_object(
            'profile', 'SIS', 'batch_number', 1 + n / 10000,
            'bursar_transaction_id', (1000000000000000 + n)::text
        )
        WHERE n % 5 = 0
        UNION ALL
        SELECT 2, 'desk_payment', 1000, -1000, 0, 0, 0, 'Closed', NULL
        WHERE n % 5 = 3
        UNION ALL
        SELECT 3, 'payment', 400, 0, -400, 0, 600, 'Transferred',
            jsonb_build_object('source', 'ERP', 'payment_id', 'R-' || n)
        WHERE n % 10 = 0
    ) AS effect (
        phase, kind, amount, active_change, transferred_change, remaining, outstanding,
        fine_status, cause
    )
) AS effects
WINDOW account AS (PARTITION BY patron_id ORDER BY phase, n)
"""

ACCOUNTS = """
INSERT INTO account (institution_id, patron_id, currency, active, transferred, sequence)
SELECT institution_id, patron_id, currency, sum(active_change), sum(transferred_change), count(*)
FROM ledger_transaction
GROUP BY institution_id, patron_id, currency
ON CONFLICT DO NOTHING
"""

PATRONS = """
INSERT INTO patron (institution_id, patron_id, name, user_group, identifiers, seen_at)
SELECT institution_id, patron_id, 'Doe, Jane', 'STUDENT',
    jsonb_build_array(jsonb_build_array('02', patron_id)), timestamptz '2026-01-01 00:00Z'
FROM account
ON CONFLICT DO NOTHING
"""

PAYMENTS = """
INSERT INTO payment (
    institution_id, source, payment_id, kind, digest, state, fine_id, currency, amount, paid_at,
    applied
)
SELECT institution_id, 'ERP', 'R-' || substr(fine_id, 3), 'payment', digest, 'applied', fine_id,
    'USD', paid, timestamptz '2026-03-15 00:00Z', paid
FROM fine
CROSS JOIN LATERAL (
    VALUES (CASE WHEN substr(fine_id, 3)::bigint % 20 = 0 THEN 500 ELSE 400 END)
) AS bursar (paid)
WHERE outstanding = 600
ON CONFLICT DO NOTHING
"""

# A part of every second payment was taken back.
REVERSED = """
INSERT INTO payment_reversed (institution_id, source, payment_id, amount, payment_amount)
SELECT institution_id, source, payment_id, 100, amount
FROM payment
WHERE amount = 500
ON CONFLICT DO NOTHING
"""

BATCHES = """
INSERT INTO export_batch (
    institution_id, profile, batch_number, run_id, export_number, state, currency, fine_count,
    total, file_name, sha256, previous_sha256, document, document_headers, manifest,
    manifest_headers, outbox_id, cutoff, sealed_at
)
SELECT '6050', 'SIS', batch_number, 'run-' || batch_number, 100000000000000 + batch_number,
    'sealed', 'USD', fines, fines * 1000, batch_number || '.xml', sha256(batch_number::text::bytea),
    CASE WHEN batch_number > 1 THEN sha256((batch_number - 1)::text::bytea) END, 'document',
    'names', 'manifest', '', batch_number, timestamptz '2026-02-01 00:00Z',
    timestamptz '2026-02-01 00:00Z' + batch_number * interval '1 minute'
FROM (
    SELECT 1 + substr(fine_id, 3)::bigint / 10000 AS batch_number, count(*) AS fines
    FROM fine
    WHERE line IS NOT NULL
    GROUP BY 1
) AS batch
ON CONFLICT (institution_id, profile, batch_number) DO UPDATE
    SET
        fine_count = excluded.fine_count,
        total = excluded.total
"""

LINES = """
INSERT INTO export_line (
    institution_id, bursar_transaction_id, fine_id, profile, batch_number, amount, currency, state
)
SELECT institution_id, line, fine_id, 'SIS', 1 + substr(fine_id, 3)::bigint / 10000, amount,
    currency, 'live'
FROM fine
WHERE line IS NOT NULL
ON CONFLICT DO NOTHING
"""

# A twentieth as many records as fines: half of them wait for a fine that is unknown, half for the
# export of one that is open.
PARKED = """
INSERT INTO parked (
    institution_id, record, source, id, wait, fine_id, topic, partition, record_offset,
    record_value, record_headers, recorded_at
)
SELECT '6050', 'payment', 'ERP', 'W-' || n,
    CASE WHEN n % 2 = 0 THEN 'unknown_fine' ELSE 'not_exported' END,
    CASE WHEN n % 2 = 0 THEN 'X-' || n ELSE 'F-' || (n * 10 + 2) END,
    'library.bursar-payment.v1', 0, n, convert_to('{"payment_id":"W-' || n || '"}', 'UTF8'), '',
    clock_timestamp() - n * interval '1 second'
FROM generate_series(1 + $1::bigint / 20, $2::bigint / 20) AS n
"""

# Sums without a line that wait, a two hundredth of the number of fines.
SUMS = """
WITH sums AS (
    INSERT INTO payment_sum (
        institution_id, source, payment_id, patron_id, currency, rule, tried, waits
    )
    SELECT '6050', 'SAP', 'S-' || n, 'P-' || n, 'USD', 'oldest_first', 1000000, TRUE
    FROM generate_series(1 + $1::bigint / 200, $2::bigint / 200) AS n
    RETURNING payment_id
),

payments AS (
    INSERT INTO payment (
        institution_id, source, payment_id, kind, digest, state, currency, amount, paid_at
    )
    SELECT '6050', 'SAP', payment_id, 'payment', sha256(payment_id::bytea), 'parked', 'USD', 400,
        timestamptz '2026-03-15 00:00Z'
    FROM sums
)

INSERT INTO parked (
    institution_id, record, source, id, wait, topic, partition, record_offset, record_headers,
    recorded_at
)
SELECT '6050', 'payment', 'SAP', payment_id, 'not_exported', 'library.bursar-payment.v1', 0, 0, '',
    clock_timestamp()
FROM sums
"""

REJECTED = """
INSERT INTO rejected (
    topic, partition, record_offset, institution_id, reason, detail, record_value,
    record_headers, state, recorded_at
)
SELECT 'library.bursar-payment.v1', 6050, n, '6050', 'unknown_line', 'bursar_transaction_id',
    convert_to('{"payment_id":"X-' || n || '","fine_id":"Y-' || n || '"}', 'UTF8'), '',
    CASE WHEN n % 10 = 0 THEN 'open' ELSE 'discarded' END,
    clock_timestamp() - n * interval '1 second'
FROM generate_series(1 + $1::bigint / 20, $2::bigint / 20) AS n
"""

RESPONSES = """
INSERT INTO export_response (
    institution_id, source, response_id, digest, profile, batch_number, state
)
SELECT institution_id, 'ERP', 'A-' || batch_number, sha256, profile, batch_number, 'applied'
FROM export_batch
ON CONFLICT DO NOTHING
"""

ACTIONS = """
INSERT INTO operator_action (action, institution_id, subject, reason, operator, outcome)
SELECT 'held_release', '6050', jsonb_build_object('institution_id', '6050', 'fine_id', 'F-' || n),
    'asked', 'Jane', 'released'
FROM generate_series($1::bigint, $2::bigint, 2) AS n
"""

RUNS = """
INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)
SELECT '6050', 'SIS', 'empty-' || n, clock_timestamp() - n * interval '1 minute', 'closed'
FROM generate_series(1 + $1::bigint / 20, $2::bigint / 20) AS n
"""

OUTBOX = """
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
SELECT 'library.balance-changed.v1', ARRAY['k'::bytea], ARRAY['p'::bytea], ARRAY['h'::bytea],
    clock_timestamp()
FROM generate_series(1 + $1::bigint / 20, $2::bigint / 20) AS n
"""

OF_FINES = (ADOPTED, FINES, AMENDMENTS, TRANSACTIONS, PARKED, SUMS, REJECTED, ACTIONS, RUNS, OUTBOX)
OF_THOSE = (ACCOUNTS, PATRONS, PAYMENTS, REVERSED, BATCHES, LINES, RESPONSES, ADOPTED_BATCHES)
TABLES = """
    account adopted_line export_batch export_line export_response export_run fine fine_amendment
    ledger_transaction operator_action outbox parked patron payment payment_part payment_sum
    payment_reversed rejected
""".split()


async def fill(connection: Connection, first: int, last: int) -> None:
    """Writes fines `first` to `last`, multiples of 100 but for the 1, and all that goes with them.

    A second call adds to the first. Statistics are taken by the caller alone: without them the
    tables are as right after a restore.
    """
    for table in TABLES:
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    # The last batch of the first call grows in the second one; sealed batches never do.
    await connection.execute("ALTER TABLE export_batch DISABLE TRIGGER USER")
    for statement in OF_FINES:
        await connection.execute(statement, first, last)
    for statement in OF_THOSE:
        await connection.execute(statement)
    await connection.execute("ALTER TABLE export_batch ENABLE TRIGGER USER")
