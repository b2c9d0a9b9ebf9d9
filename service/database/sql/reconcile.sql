-- These statements read whole tables, and their time must grow with the rows alone, whatever the
-- statistics say. Two tables are compared with FULL JOIN: PostgreSQL can only hash or merge a full
-- join, and only on all of its columns, so that neither a nested loop nor a merge on institution_id
-- is possible. A condition on a joined row goes through coalesce: a plain one would let the planner
-- make a left join of it. The differences are materialized before they are sorted and limited:
-- otherwise the planner expects to find enough of them soon and chooses a plan that starts early
-- and takes longest where there are none.

-- name: balances_and_transactions
-- Each account against the sum of its transactions, and its sequence against their number: numbers
-- are unique and begin with 1, so the last one is their count unless one is missing. A recovery
-- leaves out the numbers that the lost database had used, and one for an event published again.
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
    SELECT institution_id, patron_id, currency, active, transferred, sequence
    FROM account
    WHERE $1::text IS NULL OR institution_id = $1
),

left_out AS (
    SELECT
        institution_id,
        patron_id,
        currency,
        sum(raised_to - own_sequence) + count(announced_sequence) AS numbers,
        greatest(max(raised_to), max(announced_sequence)) AS sequence
    FROM recovery_account
    WHERE $1::text IS NULL OR institution_id = $1
    GROUP BY institution_id, patron_id, currency
),

compared AS (
    SELECT
        institution_id, patron_id, currency,
        coalesce(a.active, 0) AS active,
        coalesce(a.transferred, 0) AS transferred,
        coalesce(a.sequence, 0) AS sequence,
        coalesce(s.active, 0) AS active_sum,
        coalesce(s.transferred, 0) AS transferred_sum,
        coalesce(s.transactions, 0) + coalesce(o.numbers, 0) AS numbers,
        greatest(s.sequence, o.sequence, 0) AS last_sequence
    FROM accounts AS a
    FULL JOIN summed AS s USING (institution_id, patron_id, currency)
    FULL JOIN left_out AS o USING (institution_id, patron_id, currency)
),

differing AS MATERIALIZED (
    SELECT
        compared.institution_id, compared.patron_id, compared.currency,
        pair.name, pair.expected::bigint AS expected, pair.actual::bigint AS actual
    FROM compared
    CROSS JOIN LATERAL (
        VALUES
        ('active_is_not_its_transactions', compared.active_sum, compared.active::numeric),
        ('transferred_is_not_its_transactions', compared.transferred_sum, compared.transferred),
        ('sequence_is_not_the_last', compared.last_sequence, compared.sequence),
        ('sequence_has_gaps', compared.last_sequence, compared.numbers)
    ) AS pair (name, expected, actual)
    WHERE pair.expected <> pair.actual
)

SELECT institution_id, patron_id, currency, name, expected, actual
FROM differing
ORDER BY institution_id, patron_id, currency, name
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
    SELECT institution_id, patron_id, currency, active, transferred
    FROM account
    WHERE $1::text IS NULL OR institution_id = $1
),

differing AS MATERIALIZED (
    SELECT
        institution_id, patron_id, currency,
        pair.name, pair.expected::bigint AS expected, pair.actual::bigint AS actual
    FROM accounts AS a
    FULL JOIN summed AS s USING (institution_id, patron_id, currency)
    CROSS JOIN LATERAL (
        VALUES
        (
            'active_is_not_what_remains',
            coalesce(s.remaining, 0),
            coalesce(a.active, 0)::numeric
        ),
        (
            'transferred_is_not_what_is_outstanding',
            coalesce(s.outstanding, 0),
            coalesce(a.transferred, 0)
        )
    ) AS pair (name, expected, actual)
    WHERE pair.expected <> pair.actual
)

SELECT institution_id, patron_id, currency, name, expected, actual
FROM differing
ORDER BY institution_id, patron_id, currency, name
LIMIT $2;

-- name: running_balances
-- Each transaction goes on from the one before: balances after it are those before and its change.
WITH followed AS (
    SELECT
        institution_id, patron_id, currency, sequence, fine_id, active, transferred,
        active_change + coalesce(lag(active) OVER in_order, 0) AS active_sum,
        transferred_change + coalesce(lag(transferred) OVER in_order, 0) AS transferred_sum
    FROM ledger_transaction
    WHERE $1::text IS NULL OR institution_id = $1
    WINDOW in_order AS (PARTITION BY institution_id, patron_id, currency ORDER BY sequence)
),

differing AS MATERIALIZED (
    SELECT
        followed.institution_id, followed.patron_id, followed.currency, followed.fine_id,
        followed.sequence, pair.name, pair.expected, pair.actual
    FROM followed
    CROSS JOIN LATERAL (
        VALUES
        ('running_active_does_not_follow', followed.active_sum, followed.active),
        ('running_transferred_does_not_follow', followed.transferred_sum, followed.transferred)
    ) AS pair (name, expected, actual)
    WHERE pair.expected <> pair.actual
)

SELECT
    institution_id, patron_id, currency, fine_id, sequence, name, expected, actual
FROM differing
ORDER BY institution_id, patron_id, currency, sequence
LIMIT $2;

-- name: fines_and_transactions
-- Each fine is as its last transaction left it; a transaction's fine exists.
WITH fines AS (
    SELECT
        institution_id,
        fine_id,
        patron_id,
        currency,
        remaining,
        outstanding
    FROM fine
    WHERE $1::text IS NULL OR institution_id = $1
),

latest AS (
    SELECT DISTINCT ON (institution_id, fine_id)
        institution_id,
        fine_id,
        patron_id,
        currency,
        fine_remaining,
        fine_outstanding
    FROM ledger_transaction
    WHERE $1::text IS NULL OR institution_id = $1
    ORDER BY institution_id ASC, fine_id ASC, sequence DESC
),

differing AS MATERIALIZED (
    SELECT
        coalesce(fines.institution_id, latest.institution_id) AS institution_id,
        coalesce(fines.patron_id, latest.patron_id) AS patron_id,
        coalesce(fines.currency, latest.currency) AS currency,
        coalesce(fines.fine_id, latest.fine_id) AS fine_id,
        pair.name,
        pair.expected,
        pair.actual
    FROM fines
    FULL JOIN latest
        ON fines.institution_id = latest.institution_id AND fines.fine_id = latest.fine_id
    CROSS JOIN LATERAL (
        VALUES
        (
            'fine_remaining_is_not_its_last_transaction',
            coalesce(latest.fine_remaining, 0),
            coalesce(fines.remaining, 0)
        ),
        (
            'fine_outstanding_is_not_its_last_transaction',
            coalesce(latest.fine_outstanding, 0),
            coalesce(fines.outstanding, 0)
        )
    ) AS pair (name, expected, actual)
    WHERE pair.expected <> pair.actual
)

SELECT
    institution_id, patron_id, currency, fine_id, name, expected, actual
FROM differing
ORDER BY institution_id, patron_id, currency, fine_id, name
LIMIT $2;

-- name: lines_and_payments
-- What was transferred with a live line, less what was paid or written off on it and stands, is
-- what is outstanding; and a fine that was transferred has its live line.
WITH differing AS MATERIALIZED (
    SELECT
        fine.institution_id, fine.patron_id, fine.currency, fine.fine_id, fine.profile,
        pair.name, pair.expected::bigint AS expected, pair.actual::bigint AS actual
    FROM transferred_fines($1) AS fine
    CROSS JOIN LATERAL (
        VALUES
        (
            'outstanding_is_not_exported_less_settled',
            fine.exported - fine.paid - fine.written_off,
            fine.outstanding::numeric
        ),
        (
            'transferred_fine_has_no_live_line',
            1,
            (fine.bursar_transaction_id IS NOT NULL)::integer
        )
    ) AS pair (name, expected, actual)
    WHERE pair.expected <> pair.actual
)

SELECT
    institution_id, patron_id, currency, fine_id, profile, name, expected, actual
FROM differing
ORDER BY institution_id, patron_id, fine_id, name
LIMIT $2;

-- name: batches_and_lines
-- A sealed batch has the lines it counts, and their sum; refused ones belong to it, too, and so do
-- adopted lines that wait for their fines.
WITH batches AS (
    SELECT
        institution_id,
        profile,
        batch_number,
        currency,
        fine_count,
        total,
        TRUE AS is_sealed
    FROM export_batch
    WHERE $1::text IS NULL OR institution_id = $1
),

summed AS (
    SELECT
        institution_id,
        profile,
        batch_number,
        count(*) AS lines,
        sum(amount) AS total
    FROM batch_line
    WHERE $1::text IS NULL OR institution_id = $1
    GROUP BY institution_id, profile, batch_number
),

differing AS MATERIALIZED (
    SELECT
        batches.institution_id, batches.currency, batches.profile, batches.batch_number, pair.name,
        pair.expected::bigint AS expected, pair.actual::bigint AS actual
    FROM batches
    FULL JOIN summed
        ON
            batches.institution_id = summed.institution_id
            AND batches.profile = summed.profile
            AND batches.batch_number = summed.batch_number
    CROSS JOIN LATERAL (
        VALUES
        (
            'batch_count_is_not_its_lines',
            batches.fine_count::numeric,
            coalesce(summed.lines, 0)::numeric
        ),
        ('batch_total_is_not_its_lines', batches.total, coalesce(summed.total, 0))
    ) AS pair (name, expected, actual)
    WHERE
        coalesce(batches.is_sealed, FALSE)
        AND pair.expected <> pair.actual
)

SELECT
    institution_id, currency, profile, batch_number, name, expected, actual
FROM differing
ORDER BY institution_id, profile, batch_number, name
LIMIT $2;

-- name: totals_of_profiles
-- What the bursar was given to collect and still has to, by profile; signed as the fines.
SELECT
    institution_id,
    profile,
    currency,
    count(*)::bigint AS lines,
    coalesce(sum(exported), 0)::bigint AS exported,
    coalesce(sum(paid), 0)::bigint AS paid,
    coalesce(sum(written_off), 0)::bigint AS written_off,
    sum(outstanding)::bigint AS outstanding
FROM transferred_fines($1)
GROUP BY institution_id, profile, currency
ORDER BY institution_id, profile, currency;

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
