-- Lines of batches that were published before an older database was restored. Only a recovery
-- inserts them, while no other part of the service writes.

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
    SELECT institution_id, line.fine_id
    FROM unnest($3::text [], $4::text []) AS k (institution_id, bursar_transaction_id)
    INNER JOIN adopted_line AS line USING (institution_id, bursar_transaction_id)
    UNION
    SELECT institution_id, line.fine_id
    FROM unnest($5::text [], $6::text [], $7::bigint [])
        AS k (institution_id, profile, batch_number)
    INNER JOIN adopted_line AS line USING (institution_id, profile, batch_number)
    UNION
    SELECT institution_id, line.fine_id
    FROM unnest($8::text [], $9::text [], $10::text []) AS k (institution_id, patron_id, currency)
    INNER JOIN adopted_line AS line USING (institution_id, patron_id, currency)
    WHERE line.state = 'waiting'
    UNION
    SELECT institution_id, fine.fine_id
    FROM unnest($8::text [], $9::text [], $10::text []) AS k (institution_id, patron_id, currency)
    INNER JOIN fine USING (institution_id, patron_id, currency)
    WHERE fine.status IN ('Active', 'In dispute')
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
        credit.institution_id,
        credit.fine_id
    FROM named
    INNER JOIN fine AS credit
        ON named.institution_id = credit.institution_id AND named.fine_id = credit.credit_of
    UNION
    SELECT
        credit.institution_id,
        credit.credit_of AS fine_id
    FROM named
    INNER JOIN fine AS credit
        ON named.institution_id = credit.institution_id AND named.fine_id = credit.fine_id
    WHERE credit.credit_of IS NOT NULL
)

SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.place, line.amount, line.currency, line.fine_status, line.terms_id, line.cutoff,
    line.export_number, line.patron_id, line.state, line.refused_reason, line.refused_at
FROM reached
INNER JOIN adopted_line AS line
    ON reached.institution_id = line.institution_id AND reached.fine_id = line.fine_id
WHERE line.state = 'waiting';

-- name: waiting_lines_named
-- Those of the lines that wait.
SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.amount, line.currency
FROM unnest($1::text [], $2::text []) AS k (institution_id, bursar_transaction_id)
INNER JOIN adopted_line AS line USING (institution_id, bursar_transaction_id)
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
-- Those of the fines for which a line waits: they are not exported before it is settled.
SELECT line.fine_id
FROM adopted_line AS line
WHERE
    line.institution_id = $1
    AND line.fine_id = any($2::text [])
    AND line.state = 'waiting';

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
INNER JOIN fine
    ON line.institution_id = fine.institution_id AND line.fine_id = fine.fine_id
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
    AND NOT EXISTS (
        SELECT FROM adopted_line AS older
        WHERE
            older.institution_id = line.institution_id
            AND older.fine_id = line.fine_id
            AND older.state = 'waiting'
            AND (older.export_number, older.place) < (line.export_number, line.place)
    )
ORDER BY line.export_number, line.institution_id, line.place
LIMIT $4;

-- name: waiting_lines_listed
-- The lines that wait, with their fines as far as they are known, in the order of the exports.
SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.amount, line.currency, line.fine_status, line.refused_reason, line.refused_at,
    line.cutoff, line.patron_id, fine.status, fine.remaining, fine.outstanding,
    fine.line AS other_line, fine.currency AS fine_currency,
    EXISTS ( -- noqa: CP03, LT01, LT06
        SELECT FROM adopted_line AS older
        WHERE
            older.institution_id = line.institution_id AND older.fine_id = line.fine_id
            AND older.state = 'waiting' AND older.export_number < line.export_number
    ) AS is_behind_older,
    EXISTS ( -- noqa: CP03, LT01, LT06
        SELECT FROM adopted_line AS ahead
        WHERE
            fine.type = 'CREDIT'
            AND ahead.institution_id = fine.institution_id AND ahead.fine_id = fine.credit_of
            AND ahead.state = 'waiting' AND ahead.export_number <= line.export_number
    ) AS is_behind_credited,
    (
        SELECT count(*)
        FROM parked
        WHERE parked.institution_id = line.institution_id AND parked.fine_id = line.fine_id
    ) AS parked_records
FROM adopted_line AS line
LEFT JOIN fine
    ON line.institution_id = fine.institution_id AND line.fine_id = fine.fine_id
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
    count(*) FILTER (WHERE fine.status IN ('Active', 'In dispute')) AS of_open_fines
FROM adopted_line AS line
LEFT JOIN fine
    ON line.institution_id = fine.institution_id AND line.fine_id = fine.fine_id
WHERE line.state = 'waiting';

-- name: recovery_is_open
-- Whether a recovery has not ended: the intake has not read yet all that was read before.
SELECT EXISTS (SELECT FROM recovery WHERE state <> 'done') AS is_open; -- noqa
