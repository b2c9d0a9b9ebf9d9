-- Lines of batches that were published before an older database was restored. Only a recovery
-- inserts them, while no other part of the service writes. Right after a restore there are no
-- statistics, and then whole tables seem as small as a few rows of a key: OFFSET 0 keeps each
-- look-up by its key.

-- name: lock_waiting_lines
-- Locks the lines that wait for the fines $1 and $2, and those of lines ($3, $4) and of batches ($5
-- to $7), in the order of their ids. That a line waits is told by what it is not where it is looked
-- up by its id (migration 0019 says why).
WITH named AS (
    SELECT
        k.institution_id,
        line.bursar_transaction_id
    FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
    CROSS JOIN LATERAL (
        SELECT waiting.bursar_transaction_id
        FROM adopted_line AS waiting
        WHERE
            waiting.institution_id = k.institution_id
            AND waiting.fine_id = k.fine_id
            AND waiting.state = 'waiting'
        OFFSET 0
    ) AS line
    UNION
    SELECT
        k.institution_id,
        k.bursar_transaction_id
    FROM unnest($3::text [], $4::text []) AS k (institution_id, bursar_transaction_id)
    UNION
    SELECT
        k.institution_id,
        line.bursar_transaction_id
    FROM unnest($5::text [], $6::text [], $7::bigint [])
        AS k (institution_id, profile, batch_number)
    CROSS JOIN LATERAL (
        SELECT of_batch.bursar_transaction_id
        FROM adopted_line AS of_batch
        WHERE
            of_batch.institution_id = k.institution_id
            AND of_batch.profile = k.profile
            AND of_batch.batch_number = k.batch_number
        OFFSET 0
    ) AS line
),

lines_in_order AS (
    SELECT
        institution_id,
        bursar_transaction_id
    FROM named
    ORDER BY institution_id, bursar_transaction_id
)

SELECT line.bursar_transaction_id
FROM lines_in_order
CROSS JOIN LATERAL (
    SELECT adopted.bursar_transaction_id
    FROM adopted_line AS adopted
    WHERE
        adopted.institution_id = lines_in_order.institution_id
        AND adopted.bursar_transaction_id = lines_in_order.bursar_transaction_id
        AND adopted.state NOT IN ('taken', 'dropped')
    FOR UPDATE
) AS line;

-- name: waiting_lines
-- The lines that wait for a fine that events may reach: the fines $1 and $2, those of lines ($3,
-- $4), of batches ($5 to $7) and of accounts ($8 to $10), the credits of all these, and the fines
-- of which they are credits; those of credits that are created now are $11 and $12.
WITH named AS (
    SELECT
        k.institution_id,
        k.fine_id
    FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
    UNION
    SELECT
        k.institution_id,
        line.fine_id
    FROM unnest($3::text [], $4::text []) AS k (institution_id, bursar_transaction_id)
    CROSS JOIN LATERAL (
        SELECT adopted.fine_id
        FROM adopted_line AS adopted
        WHERE
            adopted.institution_id = k.institution_id
            AND adopted.bursar_transaction_id = k.bursar_transaction_id
        OFFSET 0
    ) AS line
    UNION
    SELECT
        k.institution_id,
        line.fine_id
    FROM unnest($5::text [], $6::text [], $7::bigint [])
        AS k (institution_id, profile, batch_number)
    CROSS JOIN LATERAL (
        SELECT adopted.fine_id
        FROM adopted_line AS adopted
        WHERE
            adopted.institution_id = k.institution_id
            AND adopted.profile = k.profile
            AND adopted.batch_number = k.batch_number
        OFFSET 0
    ) AS line
    UNION
    SELECT
        k.institution_id,
        line.fine_id
    FROM unnest($8::text [], $9::text [], $10::text []) AS k (institution_id, patron_id, currency)
    CROSS JOIN LATERAL (
        SELECT adopted.fine_id
        FROM adopted_line AS adopted
        WHERE
            adopted.institution_id = k.institution_id
            AND adopted.patron_id = k.patron_id
            AND adopted.currency = k.currency
            AND adopted.state = 'waiting'
        OFFSET 0
    ) AS line
    UNION
    SELECT
        k.institution_id,
        fine.fine_id
    FROM unnest($8::text [], $9::text [], $10::text []) AS k (institution_id, patron_id, currency)
    CROSS JOIN LATERAL (
        SELECT f.fine_id
        FROM fine AS f
        WHERE
            f.institution_id = k.institution_id
            AND f.patron_id = k.patron_id
            AND f.currency = k.currency
            AND f.status IN ('Active', 'In dispute')
        OFFSET 0
    ) AS fine
    UNION
    SELECT
        k.institution_id,
        k.fine_id
    FROM unnest($11::text [], $12::text []) AS k (institution_id, fine_id)
),

reached AS (
    SELECT
        named.institution_id,
        named.fine_id
    FROM named
    UNION
    SELECT
        named.institution_id,
        credit.fine_id
    FROM named
    CROSS JOIN LATERAL (
        SELECT f.fine_id
        FROM fine AS f
        WHERE f.institution_id = named.institution_id AND f.credit_of = named.fine_id
        OFFSET 0
    ) AS credit
    UNION
    SELECT
        named.institution_id,
        credit.credit_of AS fine_id
    FROM named
    CROSS JOIN LATERAL (
        SELECT f.credit_of
        FROM fine AS f
        WHERE f.institution_id = named.institution_id AND f.fine_id = named.fine_id
        OFFSET 0
    ) AS credit
    WHERE credit.credit_of IS NOT NULL
)

SELECT
    reached.institution_id, line.bursar_transaction_id, reached.fine_id, line.profile,
    line.batch_number, line.place, line.amount, line.currency, line.fine_status, line.terms_id,
    line.cutoff, line.export_number, line.patron_id, line.state, line.refused_reason,
    line.refused_at
FROM reached
CROSS JOIN LATERAL (
    SELECT
        adopted.bursar_transaction_id, adopted.profile, adopted.batch_number, adopted.place,
        adopted.amount, adopted.currency, adopted.fine_status, adopted.terms_id, adopted.cutoff,
        adopted.export_number, adopted.patron_id, adopted.state, adopted.refused_reason,
        adopted.refused_at
    FROM adopted_line AS adopted
    WHERE
        adopted.institution_id = reached.institution_id
        AND adopted.fine_id = reached.fine_id
        AND adopted.state = 'waiting'
    OFFSET 0
) AS line;

-- name: waiting_lines_named
-- Those of the lines that wait.
SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.amount, line.currency
FROM unnest($1::text [], $2::text []) AS k (institution_id, bursar_transaction_id)
CROSS JOIN LATERAL (
    SELECT
        adopted.institution_id, adopted.bursar_transaction_id, adopted.fine_id, adopted.profile,
        adopted.batch_number, adopted.amount, adopted.currency, adopted.state
    FROM adopted_line AS adopted
    WHERE
        adopted.institution_id = k.institution_id
        AND adopted.bursar_transaction_id = k.bursar_transaction_id
    OFFSET 0
) AS line
WHERE line.state = 'waiting';

-- name: write_adopted_line
-- Sets what can change of adopted lines.
UPDATE adopted_line AS line
SET
    state = k.state,
    refused_reason = k.refused_reason,
    refused_at = k.refused_at
FROM unnest($1::text [], $2::text [], $3::text [], $4::text [], $5::timestamptz [])
    AS k (institution_id, bursar_transaction_id, state, refused_reason, refused_at)
WHERE
    line.institution_id = k.institution_id
    AND line.bursar_transaction_id = k.bursar_transaction_id;

-- name: fines_with_adopted_lines
-- Those of the fines ($2) that are not exported before a line is settled: the line waits for them,
-- or they are credits ($3, with patron and currency) and the line is that of a credit of their
-- account, or may be: no event has told its patron, and its credit is not known either. The scalar
-- subquery keeps the planner from reading all lines that wait.
WITH nobodys AS MATERIALIZED (
    SELECT
        line.currency,
        credit.patron_id
    FROM adopted_line AS line
    LEFT JOIN LATERAL (
        SELECT f.patron_id
        FROM fine AS f
        WHERE f.institution_id = line.institution_id AND f.fine_id = line.fine_id
        OFFSET 0
    ) AS credit ON TRUE
    WHERE
        line.patron_id IS NULL
        AND line.institution_id = $1
        AND line.state = 'waiting'
        AND line.amount < 0
)

SELECT line.fine_id
FROM adopted_line AS line
WHERE
    line.institution_id = $1
    AND line.fine_id = any($2::text [])
    AND line.state = 'waiting'
UNION
SELECT k.fine_id
FROM unnest($3::text [], $4::text [], $5::text []) AS k (fine_id, patron_id, currency)
WHERE
    (
        SELECT TRUE FROM adopted_line AS line
        WHERE
            line.patron_id = k.patron_id
            AND line.institution_id = $1
            AND line.currency = k.currency
            AND line.state = 'waiting'
            AND line.amount < 0
        LIMIT 1
    )
    OR EXISTS (
        SELECT FROM nobodys
        WHERE nobodys.currency = k.currency AND coalesce(nobodys.patron_id = k.patron_id, TRUE)
    );

-- name: known_fines_with_lines
-- Fines that are known and may take the oldest line that waits for them: they are Active with the
-- line's amount left, or have an older line, which counts as refused. In the order of the exports
-- and without those up to the place $1 to $3; at most $4.
SELECT
    line.institution_id,
    line.fine_id,
    line.export_number,
    line.place
FROM adopted_line AS line
CROSS JOIN LATERAL (
    SELECT
        f.status,
        f.remaining,
        f.currency,
        f.line
    FROM fine AS f
    WHERE f.institution_id = line.institution_id AND f.fine_id = line.fine_id
    OFFSET 0
) AS fine
WHERE
    line.state = 'waiting'
    AND (line.export_number, line.institution_id, line.place) > ($1::numeric, $2::text, $3::integer)
    AND (
        fine.line IS NOT NULL
        OR (
            fine.status = 'Active'
            AND fine.remaining = line.amount
            AND fine.currency = line.currency
        )
    )
    AND (
        SELECT TRUE FROM adopted_line AS older
        WHERE
            older.institution_id = line.institution_id
            AND older.fine_id = line.fine_id
            AND older.state = 'waiting'
            AND (older.export_number, older.place) < (line.export_number, line.place)
        LIMIT 1
    ) IS NULL
ORDER BY line.export_number, line.institution_id, line.place
LIMIT $4;

-- name: doubtful_credits
-- Open credits of changes in the library that are, by their own time, older than the batch of the
-- line that their fine has taken. Before the restore such a change may have come before the export,
-- and made no credit. Lines that wait for a credit speak for it; a person has released others.
SELECT
    credit.institution_id,
    credit.patron_id,
    credit.currency,
    credit.fine_id
FROM adopted_line AS line
INNER JOIN export_batch AS batch USING (institution_id, profile, batch_number)
CROSS JOIN LATERAL (
    SELECT
        f.institution_id,
        f.patron_id,
        f.currency,
        f.fine_id
    FROM fine AS f
    WHERE
        f.institution_id = line.institution_id
        AND f.credit_of = line.fine_id
        AND f.type = 'CREDIT'
        AND f.status = 'Active'
        AND NOT f.released
        AND f.created_at <= batch.sealed_at
    OFFSET 0
) AS credit
WHERE
    line.state = 'taken'
    AND (
        SELECT TRUE FROM fine AS debit
        WHERE
            debit.institution_id = line.institution_id
            AND debit.fine_id = line.fine_id
            AND debit.line = line.bursar_transaction_id
    )
    AND (
        SELECT TRUE FROM ledger_transaction AS made
        WHERE
            made.institution_id = credit.institution_id
            AND made.fine_id = credit.fine_id
            AND made.kind = 'credit'
            AND made.cause ? 'change_id'
        LIMIT 1
    )
ORDER BY credit.institution_id, credit.fine_id;

-- name: let_credits_wait
-- A person has to confirm these credits, as far as they are still open. Their accounts are locked.
INSERT INTO fine_amendment (institution_id, fine_id, unconfirmed)
SELECT
    credit.institution_id,
    credit.fine_id,
    TRUE AS unconfirmed
FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
INNER JOIN fine AS credit
    ON k.institution_id = credit.institution_id AND k.fine_id = credit.fine_id
WHERE credit.status = 'Active' AND NOT credit.released
ON CONFLICT (institution_id, fine_id) DO UPDATE
    SET unconfirmed = excluded.unconfirmed;

-- name: waiting_lines_listed
-- The lines that wait, with their fines as far as they are known, in the order of the exports.
SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.amount, line.currency, line.fine_status, line.refused_reason, line.refused_at,
    line.cutoff, line.patron_id, fine.status, fine.remaining, fine.outstanding,
    fine.line AS other_line, fine.currency AS fine_currency,
    (
        SELECT TRUE FROM adopted_line AS older
        WHERE
            older.institution_id = line.institution_id AND older.fine_id = line.fine_id
            AND older.state = 'waiting' AND older.export_number < line.export_number
        LIMIT 1
    ) IS NOT NULL AS is_behind_older,
    (
        SELECT TRUE FROM adopted_line AS ahead
        WHERE
            fine.type = 'CREDIT'
            AND ahead.institution_id = line.institution_id AND ahead.fine_id = fine.credit_of
            AND ahead.state = 'waiting' AND ahead.export_number <= line.export_number
        LIMIT 1
    ) IS NOT NULL AS is_behind_credited,
    (
        SELECT count(*)
        FROM parked
        WHERE parked.institution_id = line.institution_id AND parked.fine_id = line.fine_id
    ) AS parked_records
FROM adopted_line AS line
LEFT JOIN LATERAL (
    SELECT
        f.status, f.remaining, f.outstanding, f.line, f.currency, f.type, f.credit_of
    FROM fine AS f
    WHERE f.institution_id = line.institution_id AND f.fine_id = line.fine_id
    OFFSET 0
) AS fine ON TRUE
WHERE
    line.state = 'waiting'
    AND ($1::text IS NULL OR line.institution_id = $1)
    AND ($2::text IS NULL OR line.profile = $2)
    AND ($3::bigint IS NULL OR line.batch_number = $3)
    AND ($4::text IS NULL OR line.fine_id = $4)
    AND ($5::text IS NULL OR line.bursar_transaction_id = $5)
ORDER BY line.export_number, line.institution_id, line.place
LIMIT $6;

-- name: waiting_lines_counted
-- How many lines wait, and how many of them for a fine that is open in the library.
SELECT
    count(*) AS lines,
    count(*) FILTER (WHERE fine.is_open) AS of_open_fines
FROM adopted_line AS line
LEFT JOIN LATERAL (
    SELECT f.status IN ('Active', 'In dispute') AS is_open
    FROM fine AS f
    WHERE f.institution_id = line.institution_id AND f.fine_id = line.fine_id
    OFFSET 0
) AS fine ON TRUE
WHERE line.state = 'waiting';

-- name: recovery_is_open
-- Whether a recovery has not ended: the intake has not read yet all that was read before.
SELECT EXISTS (SELECT FROM recovery WHERE state <> 'done') AS is_open; -- noqa
