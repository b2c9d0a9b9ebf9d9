-- name: lock_files
-- One registration at a time: two commands at once must not both find a file new. Readers go on.
LOCK TABLE import_file IN SHARE ROW EXCLUSIVE MODE;

-- name: sources_of_file
-- Under which sources the institution has imported a file with this content, the first one first.
-- A restored database may lack the row of a file; the payments of the file were read again. As in
-- "sources" each step goes to the next source by the primary key.
WITH RECURSIVE senders AS (
    (
        SELECT source
        FROM payment
        WHERE institution_id = $1
        ORDER BY source
        LIMIT 1
    )
    UNION ALL
    SELECT following.source
    FROM senders AS known
    CROSS JOIN LATERAL (
        SELECT later.source
        FROM payment AS later
        WHERE later.institution_id = $1 AND later.source > known.source
        ORDER BY later.source
        LIMIT 1
    ) AS following
)

SELECT
    source,
    paid_at
FROM import_file
WHERE institution_id = $1 AND sha256 = $2
UNION
SELECT
    senders.source,
    imported.paid_at
FROM senders
CROSS JOIN LATERAL (
    SELECT payment.paid_at
    FROM payment
    WHERE
        payment.institution_id = $1
        AND payment.source = senders.source
        AND payment.payment_id >= $2 || '-'
        AND payment.payment_id < $2 || '.'
    ORDER BY payment.payment_id
    LIMIT 1
) AS imported
ORDER BY paid_at, source;

-- name: sources
-- Every source of every institution, or of one. Each step goes from one source to the next by the
-- primary key, so that the time depends on how many sources there are, not on how many records.
WITH RECURSIVE of_payments AS (
    (
        SELECT institution_id, source
        FROM payment
        WHERE institution_id >= coalesce($1::text, '')
        ORDER BY institution_id, source
        LIMIT 1
    )
    UNION ALL
    SELECT following.institution_id, following.source
    FROM of_payments AS known
    CROSS JOIN LATERAL (
        SELECT later.institution_id, later.source
        FROM payment AS later
        WHERE (later.institution_id, later.source) > (known.institution_id, known.source)
        ORDER BY later.institution_id, later.source
        LIMIT 1
    ) AS following
    WHERE $1::text IS NULL OR known.institution_id = $1
),

of_changes AS (
    (
        SELECT institution_id, source
        FROM fine_change
        WHERE institution_id >= coalesce($1::text, '')
        ORDER BY institution_id, source
        LIMIT 1
    )
    UNION ALL
    SELECT following.institution_id, following.source
    FROM of_changes AS known
    CROSS JOIN LATERAL (
        SELECT later.institution_id, later.source
        FROM fine_change AS later
        WHERE (later.institution_id, later.source) > (known.institution_id, known.source)
        ORDER BY later.institution_id, later.source
        LIMIT 1
    ) AS following
    WHERE $1::text IS NULL OR known.institution_id = $1
),

of_responses AS (
    (
        SELECT institution_id, source
        FROM export_response
        WHERE institution_id >= coalesce($1::text, '')
        ORDER BY institution_id, source
        LIMIT 1
    )
    UNION ALL
    SELECT following.institution_id, following.source
    FROM of_responses AS known
    CROSS JOIN LATERAL (
        SELECT later.institution_id, later.source
        FROM export_response AS later
        WHERE (later.institution_id, later.source) > (known.institution_id, known.source)
        ORDER BY later.institution_id, later.source
        LIMIT 1
    ) AS following
    WHERE $1::text IS NULL OR known.institution_id = $1
)

SELECT institution_id, source, 'payment' AS record FROM of_payments
WHERE $1::text IS NULL OR institution_id = $1
UNION
-- A file whose payments are not decided yet has none; there are few files.
SELECT institution_id, source, 'payment' AS record FROM import_file
WHERE $1::text IS NULL OR institution_id = $1
UNION
SELECT institution_id, source, 'change' AS record FROM of_changes
WHERE $1::text IS NULL OR institution_id = $1
UNION
SELECT institution_id, source, 'response' AS record FROM of_responses
WHERE $1::text IS NULL OR institution_id = $1
ORDER BY institution_id, record, source;

-- name: register
-- The first import of a file fixes its instant ($5); the same file again finds it.
INSERT INTO import_file (institution_id, source, sha256, profile, paid_at)
VALUES ($1, $2, $3, $4, coalesce($5, date_trunc('milliseconds', clock_timestamp())))
ON CONFLICT (institution_id, source, sha256) DO NOTHING;

-- name: paid_at
-- The instant of the first import of a file; if a restored database lacks the row of the file, that
-- of its payments, which were read again.
SELECT coalesce(
    (
        SELECT kept.paid_at
        FROM import_file AS kept
        WHERE kept.institution_id = $1 AND kept.source = $2 AND kept.sha256 = $3
    ),
    (
        SELECT payment.paid_at
        FROM payment
        WHERE
            payment.institution_id = $1
            AND payment.source = $2
            AND payment.payment_id >= $3 || '-'
            AND payment.payment_id < $3 || '.'
        ORDER BY payment.payment_id
        LIMIT 1
    )
) AS paid_at;

-- name: clock
-- What a dry run takes for the instant of the import.
SELECT date_trunc('milliseconds', clock_timestamp()) AS clock;

-- name: fines_of_lines
-- The fine behind each bursar id, with the sign its line was exported with. After a recovery a line
-- may wait for its fine: it is a line like any other then. OFFSET 0 keeps the look-up of each line
-- by its key.
SELECT
    line.bursar_transaction_id,
    line.fine_id,
    line.amount
FROM unnest($1::text [], $2::text []) AS k (institution_id, bursar_transaction_id)
CROSS JOIN LATERAL (
    SELECT
        named_line.bursar_transaction_id,
        named_line.fine_id,
        named_line.amount
    FROM batch_line AS named_line
    WHERE
        named_line.institution_id = k.institution_id
        AND named_line.bursar_transaction_id = k.bursar_transaction_id
    OFFSET 0
) AS line;

-- name: known_payments
-- A known payment id is a repeat before anything is compared.
SELECT payment_id
FROM payment
WHERE institution_id = $1 AND source = $2 AND payment_id = any($3::text []);

-- name: lines_of_other_files
-- How many payments, and reversals, of these fines other files have brought, by line and amount.
-- What a rule has rejected had no effect: it may be tried again. The form of the id is that of
-- imported lines, under whichever source. OFFSET 0: as in reversible_payments.
SELECT
    payment.bursar_transaction_id,
    payment.kind,
    payment.amount,
    count(*)::bigint AS payments
FROM (SELECT DISTINCT fine_id FROM unnest($3::text []) AS k (fine_id)) AS fine_of_file
CROSS JOIN LATERAL (
    SELECT
        payment.payment_id,
        payment.bursar_transaction_id,
        payment.kind,
        payment.amount,
        payment.state
    FROM payment
    WHERE payment.institution_id = $1 AND payment.fine_id = fine_of_file.fine_id
    OFFSET 0
) AS payment
WHERE
    payment.kind IN ('payment', 'reversal')
    AND payment.state <> 'rejected'
    AND payment.payment_id ~ '^[0-9a-f]{64}-[1-9][0-9]*$'
    AND NOT starts_with(payment.payment_id, $2::text)
GROUP BY payment.bursar_transaction_id, payment.kind, payment.amount;

-- name: reversible_payments
-- What a reversal of these fines may undo, oldest first by the ledger's own order: payments of
-- which nothing was reversed and that name a line or a fine, because a line of a file names its
-- original by the exact amount alone. Sums without a line are none of them: they have no fine. A
-- payment that was all excess left its transaction on its credit, in the same account. A payment
-- that is parked for a fine of which an adopted line waits will be applied, and counts as the last.
-- OFFSET 0 keeps the condition on the source out of the look-up of a fine's payments: without
-- statistics all payments of the source seem to be fewer than those of the fines, and each page of
-- the file would read them all. For the same reason each payment is looked up by its key among
-- those that were reversed: NOT EXISTS may read the whole table.
SELECT
    payment.institution_id, payment.source, payment.payment_id, payment.kind, payment.digest,
    payment.state, payment.fine_id, payment.bursar_transaction_id, payment.currency, payment.amount,
    payment.paid_at, payment.applied, payment.excess, payment.credit_id, payment.reversed_by,
    payment.reverses, payment.reason
FROM (SELECT DISTINCT fine_id FROM unnest($3::text []) AS k (fine_id)) AS fine_of_file
CROSS JOIN LATERAL (
    SELECT
        payment.institution_id, payment.source, payment.payment_id, payment.kind, payment.digest,
        payment.state, payment.fine_id, payment.bursar_transaction_id, payment.currency,
        payment.amount, payment.paid_at, payment.applied, payment.excess, payment.credit_id,
        payment.reversed_by, payment.reverses, payment.reason
    FROM payment
    WHERE payment.institution_id = $1 AND payment.fine_id = fine_of_file.fine_id
    OFFSET 0
) AS payment
CROSS JOIN LATERAL (
    SELECT max(ledger.sequence) AS place
    FROM ledger_transaction AS ledger
    WHERE
        ledger.institution_id = payment.institution_id
        AND ledger.fine_id = any(ARRAY[payment.fine_id, payment.credit_id])
        AND ledger.cause ->> 'source' = payment.source
        AND ledger.cause ->> 'payment_id' = payment.payment_id
) AS posted
WHERE
    payment.source = $2
    AND payment.kind IN ('payment', 'write_off')
    AND (
        payment.state IN ('applied', 'noted')
        OR (
            payment.state = 'parked'
            AND (
                SELECT TRUE FROM adopted_line AS line
                WHERE
                    line.institution_id = payment.institution_id
                    AND line.fine_id = payment.fine_id
                    AND line.state = 'waiting'
                LIMIT 1
            )
        )
    )
    AND payment.reversed_by IS NULL
    AND (
        SELECT TRUE FROM payment_reversed AS reversed
        WHERE
            reversed.institution_id = payment.institution_id
            AND reversed.source = payment.source
            AND reversed.payment_id = payment.payment_id
    ) IS NULL
ORDER BY payment.state = 'parked', posted.place NULLS FIRST, payment.payment_id;

-- name: outcomes
-- What became of the payments of one file. What made a credit is told apart by whether anything
-- of it was owed.
SELECT
    file_payment.kind,
    file_payment.became,
    file_payment.reason,
    file_payment.currency,
    count(*)::bigint AS lines,
    coalesce(sum(file_payment.amount), 0)::numeric AS total,
    sum(file_payment.excess)::numeric AS excess
FROM (
    SELECT
        kind,
        reason,
        currency,
        amount,
        excess,
        CASE
            WHEN excess > 0 AND applied > 0 THEN 'overpaid'
            WHEN excess > 0 THEN 'not_owed'
            ELSE state
        END AS became
    FROM payment
    WHERE
        institution_id = $1
        AND source = $2
        AND payment_id >= $3
        AND payment_id < $4
) AS file_payment
GROUP BY file_payment.kind, file_payment.became, file_payment.reason, file_payment.currency
ORDER BY file_payment.kind, file_payment.became, file_payment.reason, file_payment.currency;

-- name: decided
SELECT count(*)::bigint AS decided
FROM payment
WHERE institution_id = $1 AND source = $2 AND payment_id >= $3 AND payment_id < $4;

-- name: recorded_lines
-- Lines of this file that were rejected by an earlier import of it for the same institution.
SELECT record_offset
FROM rejected
WHERE
    topic = $1
    AND partition = any($2::integer [])
    AND record_offset = any($3::bigint [])
    AND institution_id = $4;
