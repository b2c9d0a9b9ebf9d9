-- name: balances_and_transactions
-- Each account against the sum of its transactions, and its sequence against their number: numbers
-- are unique and begin with 1, so the last one is their count unless one is missing.
WITH summed AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        sum(active_change) AS active,
        sum(transferred_change) AS transferred,
        count(*) AS transactions,
        max(sequence) AS sequence
    FROM ledger_transaction
    WHERE $1::text IS NULL OR institution_id = $1
    GROUP BY institution_id, patron_id, currency
),

accounts AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        active,
        transferred,
        sequence,
        epoch
    FROM account
    WHERE $1::text IS NULL OR institution_id = $1
),

compared AS (
    SELECT
        coalesce(a.active, 0) AS active,
        coalesce(a.transferred, 0) AS transferred,
        coalesce(a.sequence, 0) AS sequence,
        coalesce(s.active, 0) AS active_sum,
        coalesce(s.transferred, 0) AS transferred_sum,
        coalesce(s.transactions, 0) AS transactions,
        coalesce(s.sequence, 0) AS last_sequence,
        coalesce(a.institution_id, s.institution_id) AS institution_id,
        coalesce(a.patron_id, s.patron_id) AS patron_id,
        coalesce(a.currency, s.currency) AS currency
    FROM accounts AS a
    FULL JOIN summed AS s
        ON
            a.institution_id = s.institution_id
            AND a.patron_id = s.patron_id
            AND a.currency = s.currency
)

SELECT
    compared.institution_id,
    compared.patron_id,
    compared.currency,
    found.name,
    found.expected::bigint AS expected,
    found.found::bigint AS found
FROM compared
CROSS JOIN LATERAL (
    VALUES
    ('active_is_not_its_transactions', compared.active_sum, compared.active::numeric),
    ('transferred_is_not_its_transactions', compared.transferred_sum, compared.transferred),
    ('sequence_is_not_the_last', compared.last_sequence, compared.sequence),
    ('sequence_has_gaps', compared.last_sequence, compared.transactions)
) AS found (name, expected, found)
WHERE found.expected <> found.found
ORDER BY compared.institution_id, compared.patron_id, compared.currency, found.name
LIMIT $2;

-- name: balances_and_fines
-- Active is what remains of the account's fines, transferred what is outstanding at the bursar.
WITH summed AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        sum(remaining) AS remaining,
        sum(outstanding) AS outstanding
    FROM fine
    WHERE $1::text IS NULL OR institution_id = $1
    GROUP BY institution_id, patron_id, currency
),

accounts AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        active,
        transferred,
        sequence,
        epoch
    FROM account
    WHERE $1::text IS NULL OR institution_id = $1
),

compared AS (
    SELECT
        coalesce(a.active, 0) AS active,
        coalesce(a.transferred, 0) AS transferred,
        coalesce(s.remaining, 0) AS remaining,
        coalesce(s.outstanding, 0) AS outstanding,
        coalesce(a.institution_id, s.institution_id) AS institution_id,
        coalesce(a.patron_id, s.patron_id) AS patron_id,
        coalesce(a.currency, s.currency) AS currency
    FROM accounts AS a
    FULL JOIN summed AS s
        ON
            a.institution_id = s.institution_id
            AND a.patron_id = s.patron_id
            AND a.currency = s.currency
)

SELECT
    compared.institution_id,
    compared.patron_id,
    compared.currency,
    found.name,
    found.expected::bigint AS expected,
    found.found::bigint AS found
FROM compared
CROSS JOIN LATERAL (
    VALUES
    ('active_is_not_what_remains', compared.remaining, compared.active::numeric),
    ('transferred_is_not_what_is_outstanding', compared.outstanding, compared.transferred)
) AS found (name, expected, found)
WHERE found.expected <> found.found
ORDER BY compared.institution_id, compared.patron_id, compared.currency, found.name
LIMIT $2;

-- name: running_balances
-- Each transaction goes on from the one before: balances after it are those before and its change.
WITH followed AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        sequence,
        fine_id,
        active,
        transferred,
        active_change + coalesce(lag(active) OVER in_order, 0) AS active_sum,
        transferred_change + coalesce(lag(transferred) OVER in_order, 0) AS transferred_sum
    FROM ledger_transaction
    WHERE $1::text IS NULL OR institution_id = $1
    WINDOW in_order AS (PARTITION BY institution_id, patron_id, currency ORDER BY sequence)
)

SELECT
    followed.institution_id,
    followed.patron_id,
    followed.currency,
    followed.fine_id,
    followed.sequence,
    found.name,
    found.expected,
    found.found
FROM followed
CROSS JOIN LATERAL (
    VALUES
    ('running_active_does_not_follow', followed.active_sum, followed.active),
    ('running_transferred_does_not_follow', followed.transferred_sum, followed.transferred)
) AS found (name, expected, found)
WHERE found.expected <> found.found
ORDER BY followed.institution_id, followed.patron_id, followed.currency, followed.sequence
LIMIT $2;

-- name: fines_and_transactions
-- Each fine is as its last transaction left it.
WITH latest AS (
    SELECT DISTINCT ON (institution_id, fine_id)
        institution_id,
        fine_id,
        fine_remaining,
        fine_outstanding
    FROM ledger_transaction
    WHERE $1::text IS NULL OR institution_id = $1
    ORDER BY institution_id ASC, fine_id ASC, sequence DESC
)

SELECT
    fine.institution_id,
    fine.patron_id,
    fine.currency,
    fine.fine_id,
    found.name,
    found.expected,
    found.found
FROM fine
LEFT JOIN latest USING (institution_id, fine_id)
CROSS JOIN LATERAL (
    VALUES
    (
        'fine_remaining_is_not_its_last_transaction',
        coalesce(latest.fine_remaining, 0),
        fine.remaining
    ),
    (
        'fine_outstanding_is_not_its_last_transaction',
        coalesce(latest.fine_outstanding, 0),
        fine.outstanding
    )
) AS found (name, expected, found)
WHERE
    ($1::text IS NULL OR fine.institution_id = $1)
    AND found.expected <> found.found
ORDER BY fine.institution_id, fine.patron_id, fine.currency, fine.fine_id
LIMIT $2;

-- name: lines_and_payments
-- What was transferred with a live line, less what was paid or written off on it and stands, is
-- what is outstanding; and a fine that was transferred has its live line.
WITH settled AS (
    SELECT
        institution_id,
        fine_id,
        sum(applied) AS applied
    FROM payment
    WHERE
        state = 'applied'
        AND kind IN ('payment', 'write_off')
        AND reversed_by IS NULL
        AND ($1::text IS NULL OR institution_id = $1)
    GROUP BY institution_id, fine_id
),

compared AS (
    SELECT
        fine.institution_id,
        fine.patron_id,
        fine.currency,
        fine.fine_id,
        fine.outstanding,
        line.profile,
        coalesce(line.amount, 0) AS exported,
        (line.bursar_transaction_id IS NOT NULL)::integer AS live_lines,
        coalesce(line.amount, 0)
        - sign(fine.amount)::integer * coalesce(settled.applied, 0) AS expected
    FROM fine
    LEFT JOIN export_line AS line
        ON
            fine.institution_id = line.institution_id
            AND fine.fine_id = line.fine_id
            AND fine.line = line.bursar_transaction_id
            AND line.state = 'live'
    LEFT JOIN settled
        ON fine.institution_id = settled.institution_id AND fine.fine_id = settled.fine_id
    WHERE
        ($1::text IS NULL OR fine.institution_id = $1)
        AND fine.status = 'Transferred'
)

SELECT
    compared.institution_id,
    compared.patron_id,
    compared.currency,
    compared.fine_id,
    compared.profile,
    found.name,
    found.expected::bigint AS expected,
    found.found::bigint AS found
FROM compared
CROSS JOIN LATERAL (
    VALUES
    ('outstanding_is_not_exported_less_settled', compared.expected, compared.outstanding::numeric),
    ('transferred_fine_has_no_live_line', 1, compared.live_lines)
) AS found (name, expected, found)
WHERE found.expected <> found.found
ORDER BY compared.institution_id, compared.patron_id, compared.fine_id, found.name
LIMIT $2;

-- name: batches_and_lines
-- A sealed batch has the lines it counts, and their sum; refused ones belong to it, too.
SELECT
    batch.institution_id,
    batch.currency,
    batch.profile,
    batch.batch_number,
    found.name,
    found.expected::bigint AS expected,
    found.found::bigint AS found
FROM export_batch AS batch
CROSS JOIN LATERAL (
    SELECT
        count(*) AS lines,
        coalesce(sum(line.amount), 0) AS total
    FROM export_line AS line
    WHERE
        line.institution_id = batch.institution_id
        AND line.profile = batch.profile
        AND line.batch_number = batch.batch_number
) AS summed
CROSS JOIN LATERAL (
    VALUES
    ('batch_count_is_not_its_lines', batch.fine_count::numeric, summed.lines::numeric),
    ('batch_total_is_not_its_lines', batch.total, summed.total)
) AS found (name, expected, found)
WHERE
    ($1::text IS NULL OR batch.institution_id = $1)
    AND found.expected <> found.found
ORDER BY batch.institution_id, batch.profile, batch.batch_number, found.name
LIMIT $2;

-- name: totals_of_profiles
-- What the bursar was given to collect and still has to, by profile; signed as the fines.
WITH settled AS (
    SELECT
        institution_id,
        fine_id,
        sum(applied) FILTER (WHERE kind = 'payment') AS paid,
        sum(applied) FILTER (WHERE kind = 'write_off') AS written_off
    FROM payment
    WHERE
        state = 'applied'
        AND kind IN ('payment', 'write_off')
        AND reversed_by IS NULL
        AND ($1::text IS NULL OR institution_id = $1)
    GROUP BY institution_id, fine_id
)

SELECT
    fine.institution_id,
    line.profile,
    fine.currency,
    count(*)::bigint AS lines,
    coalesce(sum(line.amount), 0)::bigint AS exported,
    coalesce(sum(sign(fine.amount) * coalesce(settled.paid, 0)), 0)::bigint AS paid,
    coalesce(sum(sign(fine.amount) * coalesce(settled.written_off, 0)), 0)::bigint AS written_off,
    sum(fine.outstanding)::bigint AS outstanding
FROM fine
LEFT JOIN export_line AS line
    ON
        fine.institution_id = line.institution_id
        AND fine.fine_id = line.fine_id
        AND fine.line = line.bursar_transaction_id
        AND line.state = 'live'
LEFT JOIN settled
    ON fine.institution_id = settled.institution_id AND fine.fine_id = settled.fine_id
WHERE
    ($1::text IS NULL OR fine.institution_id = $1)
    AND fine.status = 'Transferred'
GROUP BY fine.institution_id, line.profile, fine.currency
ORDER BY fine.institution_id, line.profile, fine.currency;

-- name: totals_of_accounts
-- What patrons owe, wherever it is collected, by institution and currency.
SELECT
    institution_id,
    currency,
    count(*)::bigint AS accounts,
    sum(active)::bigint AS active,
    sum(transferred)::bigint AS transferred
FROM account
WHERE $1::text IS NULL OR institution_id = $1
GROUP BY institution_id, currency
ORDER BY institution_id, currency;

-- name: patience
-- For this transaction alone: sums over a whole ledger take longer than a poll may.
SELECT set_config('statement_timeout', $1::text, TRUE) AS statement_timeout;
