-- What several statements ask in the same way, said once. Nothing here is stored, earlier releases
-- do not read it, and the planner takes each part into the plan of the statement that names it.

-- Every line of every batch, once. An adopted line that a fine has taken, or that a person has
-- dropped, is in export_line as well. The other lines wait; they are told by what they are not,
-- because the indexes of lines that wait would seem as good as the key where there are no
-- statistics, and hold all lines of an institution.
CREATE VIEW batch_line AS
SELECT
    line.institution_id,
    line.profile,
    line.batch_number,
    line.bursar_transaction_id,
    line.fine_id,
    line.amount
FROM export_line AS line
UNION ALL
SELECT
    adopted.institution_id,
    adopted.profile,
    adopted.batch_number,
    adopted.bursar_transaction_id,
    adopted.fine_id,
    adopted.amount
FROM adopted_line AS adopted
WHERE adopted.state NOT IN ('taken', 'dropped');

-- The fines at the bursar, each with its live line, and with what was paid and written off on it
-- and stands; amounts have the sign of the fine. $1 is an institution, or NULL for all of them.
-- Whole tables are read. Two tables are compared with FULL JOIN, and conditions on a joined row go
-- through coalesce: sql/reconcile.sql says why.
CREATE FUNCTION transferred_fines(text) RETURNS TABLE (
    institution_id key_text,
    patron_id key_text,
    currency key_text,
    fine_id key_text,
    outstanding bigint,
    profile key_text,
    bursar_transaction_id key_text,
    exported bigint,
    paid numeric,
    written_off numeric
) LANGUAGE sql STABLE AS $$
WITH fines AS (
    SELECT
        fine.institution_id,
        fine.fine_id,
        fine.patron_id,
        fine.currency,
        sign(fine.amount)::integer AS direction,
        fine.outstanding,
        fine.line,
        TRUE AS is_transferred
    FROM fine
    WHERE
        fine.status = 'Transferred'
        AND ($1 IS NULL OR fine.institution_id = $1)
),

live_lines AS (
    SELECT
        line.institution_id,
        line.fine_id,
        line.bursar_transaction_id,
        line.profile,
        line.amount
    FROM export_line AS line
    WHERE
        line.state = 'live'
        AND ($1 IS NULL OR line.institution_id = $1)
),

payments AS (
    SELECT
        payment.institution_id,
        payment.source,
        payment.payment_id,
        payment.fine_id,
        payment.kind,
        payment.applied,
        TRUE AS is_settlement
    FROM payment
    WHERE
        payment.state = 'applied'
        AND payment.kind IN ('payment', 'write_off')
        AND payment.reversed_by IS NULL
        AND ($1 IS NULL OR payment.institution_id = $1)
),

-- Of a payment of which nothing is left, `reversed_by` has to say so.
parts AS (
    SELECT
        reversed.institution_id,
        reversed.source,
        reversed.payment_id,
        reversed.amount
    FROM payment_reversed AS reversed
    WHERE
        reversed.amount < reversed.payment_amount
        AND ($1 IS NULL OR reversed.institution_id = $1)
),

-- What sums without a line have paid of each fine.
of_sums AS (
    SELECT
        part.institution_id,
        part.source,
        part.payment_id,
        part.fine_id,
        part.amount,
        TRUE AS is_part
    FROM payment_part AS part
    WHERE $1 IS NULL OR part.institution_id = $1
),

standing AS (
    SELECT
        payments.institution_id,
        payments.fine_id,
        payments.kind,
        payments.applied - coalesce(parts.amount, 0) AS amount
    FROM payments
    FULL JOIN parts
        ON
            payments.institution_id = parts.institution_id
            AND payments.source = parts.source
            AND payments.payment_id = parts.payment_id
    WHERE coalesce(payments.is_settlement, FALSE)
    UNION ALL
    SELECT
        of_sums.institution_id,
        of_sums.fine_id,
        payments.kind,
        of_sums.amount
    FROM payments
    FULL JOIN of_sums
        ON
            payments.institution_id = of_sums.institution_id
            AND payments.source = of_sums.source
            AND payments.payment_id = of_sums.payment_id
    WHERE coalesce(payments.is_settlement, FALSE) AND coalesce(of_sums.is_part, FALSE)
),

settled AS (
    SELECT
        standing.institution_id,
        standing.fine_id,
        sum(standing.amount) FILTER (WHERE standing.kind = 'payment') AS paid,
        sum(standing.amount) FILTER (WHERE standing.kind = 'write_off') AS written_off
    FROM standing
    GROUP BY standing.institution_id, standing.fine_id
)

SELECT
    fines.institution_id,
    fines.patron_id,
    fines.currency,
    fines.fine_id,
    fines.outstanding,
    live_lines.profile,
    live_lines.bursar_transaction_id,
    coalesce(live_lines.amount, 0) AS exported,
    fines.direction * coalesce(settled.paid, 0) AS paid,
    fines.direction * coalesce(settled.written_off, 0) AS written_off
FROM fines
FULL JOIN live_lines
    ON
        fines.institution_id = live_lines.institution_id
        AND fines.fine_id = live_lines.fine_id
        AND fines.line = live_lines.bursar_transaction_id
FULL JOIN settled
    ON fines.institution_id = settled.institution_id AND fines.fine_id = settled.fine_id
WHERE coalesce(fines.is_transferred, FALSE);
$$;

-- What a purge may remove once it is old enough: each row by its place in its table, and since when
-- it counts as old.

-- Batches whose XML the broker has. One that waits to be sent, or is in quarantine, keeps it; one
-- that was adopted without its XML has none yet.
CREATE VIEW purgeable_batch AS
SELECT
    batch.ctid AS place,
    batch.sealed_at AS since
FROM export_batch AS batch
WHERE
    batch.document_removed_at IS NULL
    AND octet_length(batch.document) > 0
    AND (
        SELECT TRUE FROM outbox
        WHERE outbox.id = any(ARRAY[batch.outbox_id, batch.manifest_outbox_id])
        LIMIT 1 -- noqa: AM09
    ) IS NULL
    AND (
        SELECT TRUE FROM outbox_set_aside AS refused
        WHERE refused.headers IN (batch.document_headers, batch.manifest_headers)
        LIMIT 1 -- noqa: AM09
    ) IS NULL;

-- What left the quarantine, unless the record it was, or the copy that was sent instead, can still
-- be put into quarantine.
CREATE VIEW purgeable_release AS
SELECT
    kept.ctid AS place,
    kept.released_at AS since
FROM quarantine_release AS kept
WHERE
    (
        SELECT TRUE FROM outbox
        WHERE outbox.id = any(ARRAY[kept.outbox_id, kept.queued_as])
        LIMIT 1 -- noqa: AM09
    ) IS NULL
    AND (
        SELECT TRUE FROM outbox_set_aside AS refused
        WHERE refused.outbox_id = kept.queued_as
        LIMIT 1 -- noqa: AM09
    ) IS NULL;

-- Runs that have ended, but the newest one of each profile: schedules and reports go by it. A run
-- with a cutoff still to come was begun by a clock that was ahead, and is not the newest.
CREATE VIEW purgeable_run AS
SELECT
    run.ctid AS place,
    run.cutoff AS since
FROM export_run AS run
WHERE
    run.state = 'closed'
    AND run.cutoff < (
        SELECT max(newest.cutoff) FROM export_run AS newest
        WHERE
            newest.institution_id = run.institution_id
            AND newest.profile = run.profile
            AND newest.cutoff <= now()
            AND newest.state = 'closed'
    );
