-- name: read_payment_sum
-- Sums without a line by their identities, each with the fines that it has paid, in order, and the
-- fine that the credit of its excess refers to.
SELECT
    kept.institution_id, kept.source, kept.payment_id, kept.patron_id, kept.currency, kept.rule,
    kept.tried, kept.waits, kept.allocations, parts.fines, parts.amounts,
    (
        SELECT credit.credit_of
        FROM payment
        INNER JOIN fine AS credit
            ON
                payment.institution_id = credit.institution_id
                AND payment.credit_id = credit.fine_id
        WHERE
            payment.institution_id = kept.institution_id
            AND payment.source = kept.source
            AND payment.payment_id = kept.payment_id
    ) AS credited_fine
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, source, payment_id)
INNER JOIN payment_sum AS kept USING (institution_id, source, payment_id)
CROSS JOIN LATERAL (
    SELECT
        array_agg(part.fine_id::text ORDER BY part.place) AS fines,
        array_agg(part.amount ORDER BY part.place) AS amounts
    FROM payment_part AS part
    WHERE
        part.institution_id = kept.institution_id
        AND part.source = kept.source
        AND part.payment_id = kept.payment_id
) AS parts;

-- name: waiting_sums
-- The sums that wait until something of these accounts is outstanding, of each account the oldest
-- ones. The others are for the sweep: a batch has no time for thousands of sums of one patron.
SELECT
    waiting.institution_id,
    waiting.source,
    waiting.payment_id
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, patron_id, currency)
CROSS JOIN LATERAL (
    SELECT
        kept.institution_id,
        kept.source,
        kept.payment_id
    FROM payment_sum AS kept
    WHERE
        kept.institution_id = k.institution_id
        AND kept.patron_id = k.patron_id
        AND kept.currency = k.currency
        AND kept.waits
    ORDER BY kept.arrival
    LIMIT $4
) AS waiting;

-- name: debits_of_accounts
-- The fines that sums of these accounts may pay: transferred debits with something outstanding, and
-- of each account the one that was exported last, which a credit may refer to. They are known by
-- the ledger, whose key begins with the account. OFFSET 0 keeps each look-up by its key: where the
-- statistics know no exported fine yet, the whole ledger would be read for one.
WITH exported AS (
    SELECT DISTINCT
        ledger.institution_id,
        ledger.patron_id,
        ledger.currency,
        ledger.fine_id
    FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, patron_id, currency)
    CROSS JOIN LATERAL (
        SELECT
            entry.institution_id,
            entry.patron_id,
            entry.currency,
            entry.fine_id,
            entry.kind
        FROM ledger_transaction AS entry
        WHERE
            entry.institution_id = k.institution_id
            AND entry.patron_id = k.patron_id
            AND entry.currency = k.currency
        OFFSET 0
    ) AS ledger
    WHERE ledger.kind = 'export_and_paid'
),

debits AS (
    SELECT
        exported.institution_id,
        exported.fine_id,
        debit.outstanding,
        debit.line,
        debit.export_number,
        row_number() OVER (
            PARTITION BY exported.institution_id, exported.patron_id, exported.currency
            ORDER BY debit.export_number DESC, debit.line::numeric DESC
        ) AS from_latest
    FROM exported
    CROSS JOIN LATERAL (
        SELECT
            fine.outstanding,
            fine.line,
            batch.export_number
        FROM fine
        INNER JOIN export_line AS line
            ON
                fine.institution_id = line.institution_id
                AND fine.line = line.bursar_transaction_id
        INNER JOIN export_batch AS batch
            ON
                line.institution_id = batch.institution_id
                AND line.profile = batch.profile
                AND line.batch_number = batch.batch_number
        WHERE
            fine.institution_id = exported.institution_id
            AND fine.fine_id = exported.fine_id
            AND fine.status = 'Transferred'
            AND fine.amount > 0
        OFFSET 0
    ) AS debit
)

SELECT
    institution_id,
    fine_id,
    line,
    export_number
FROM debits
WHERE outstanding <> 0 OR from_latest = 1;

-- name: export_numbers_of_lines
-- The export number of the batch of each of these lines.
SELECT
    line.institution_id,
    line.bursar_transaction_id,
    batch.export_number
FROM unnest($1::text [], $2::text []) AS k (institution_id, bursar_transaction_id)
CROSS JOIN LATERAL (
    SELECT
        exported.institution_id,
        exported.bursar_transaction_id,
        exported.profile,
        exported.batch_number
    FROM export_line AS exported
    WHERE
        exported.institution_id = k.institution_id
        AND exported.bursar_transaction_id = k.bursar_transaction_id
    OFFSET 0
) AS line
CROSS JOIN LATERAL (
    SELECT sealed.export_number
    FROM export_batch AS sealed
    WHERE
        sealed.institution_id = line.institution_id
        AND sealed.profile = line.profile
        AND sealed.batch_number = line.batch_number
    OFFSET 0
) AS batch;

-- name: write_payment_sum
-- Sets what can change of sums.
UPDATE payment_sum
SET
    rule = k.rule,
    tried = k.tried,
    waits = k.waits,
    allocations = k.allocations::jsonb
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::boolean [], $7::text []
) AS k (institution_id, source, payment_id, rule, tried, waits, allocations)
WHERE
    payment_sum.institution_id = k.institution_id
    AND payment_sum.source = k.source
    AND payment_sum.payment_id = k.payment_id;
