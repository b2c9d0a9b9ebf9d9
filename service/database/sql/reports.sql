-- name: balances_now
-- A patron's accounts as they are.
SELECT
    currency,
    active,
    transferred,
    total,
    epoch,
    sequence
FROM report_account
WHERE
    institution_id = $1
    AND patron_id = $2
    AND ($3::text IS NULL OR currency = $3)
ORDER BY currency;

-- name: balances_recorded
-- As this service knew them at an instant: the account's last transaction recorded until then.
SELECT
    account.currency,
    coalesce(latest.active, 0) AS active,
    coalesce(latest.transferred, 0) AS transferred,
    coalesce(latest.total, 0) AS total,
    coalesce(latest.epoch, 1) AS epoch,
    coalesce(latest.sequence, 0) AS sequence
FROM report_account AS account
LEFT JOIN LATERAL (
    SELECT t.active, t.transferred, t.total, t.epoch, t.sequence
    FROM report_transaction AS t
    WHERE
        t.institution_id = account.institution_id
        AND t.patron_id = account.patron_id
        AND t.currency = account.currency
        AND t.recorded_at <= $4
    ORDER BY t.sequence DESC
    LIMIT 1
) AS latest ON TRUE
WHERE
    account.institution_id = $1
    AND account.patron_id = $2
    AND ($3::text IS NULL OR account.currency = $3)
ORDER BY account.currency;

-- name: balances_effective
-- By what had happened until an instant, known then or learnt later.
SELECT
    account.currency,
    coalesce(summed.active, 0)::bigint AS active,
    coalesce(summed.transferred, 0)::bigint AS transferred,
    coalesce(summed.active + summed.transferred, 0)::bigint AS total,
    NULL::integer AS epoch,
    NULL::bigint AS sequence
FROM report_account AS account
LEFT JOIN LATERAL (
    SELECT
        sum(t.active_change) AS active,
        sum(t.transferred_change) AS transferred
    FROM report_transaction AS t
    WHERE
        t.institution_id = account.institution_id
        AND t.patron_id = account.patron_id
        AND t.currency = account.currency
        AND t.occurred_at <= $4
) AS summed ON TRUE
WHERE
    account.institution_id = $1
    AND account.patron_id = $2
    AND ($3::text IS NULL OR account.currency = $3)
ORDER BY account.currency;

-- name: transactions_of_patron
-- All of a patron's accounts, each in its order.
SELECT
    institution_id, patron_id, currency, epoch, sequence, transaction_id, fine_id, kind, label,
    amount, active_change, transferred_change, active, transferred, total, comment, source,
    payment_id, reverses_payment_id, status_code, change_id, profile, batch_number,
    bursar_transaction_id, fine_status, fine_considered, fine_remaining, fine_outstanding,
    occurred_at, recorded_at
FROM report_transaction
WHERE institution_id = $1 AND patron_id = $2
ORDER BY recorded_at, currency, sequence;

-- name: transactions_of_fines
-- The fines and their credits.
SELECT
    institution_id, patron_id, currency, epoch, sequence, transaction_id, fine_id, kind, label,
    amount, active_change, transferred_change, active, transferred, total, comment, source,
    payment_id, reverses_payment_id, status_code, change_id, profile, batch_number,
    bursar_transaction_id, fine_status, fine_considered, fine_remaining, fine_outstanding,
    occurred_at, recorded_at
FROM report_transaction
WHERE institution_id = $1 AND fine_id = any($2::text [])
ORDER BY recorded_at, currency, sequence;

-- name: credits_of_fine
-- The credits of a debit (rules.md, 5): what was paid beyond it lives on in them, and so does what
-- was paid or waived in the library after its export. A credit of another account that names the
-- fine means nothing to it.
SELECT credit.fine_id AS credit_id
FROM fine
INNER JOIN fine AS credit
    ON
        fine.institution_id = credit.institution_id
        AND fine.fine_id = credit.credit_of
        AND fine.patron_id = credit.patron_id
        AND fine.currency = credit.currency
        AND credit.type = 'CREDIT'
WHERE
    fine.institution_id = $1
    AND fine.fine_id = $2
    AND fine.type <> 'CREDIT'
ORDER BY credit_id;

-- name: fines_of_sum
-- What a sum without a line has paid, in order, and the credit of its excess.
SELECT paid.fine_id
FROM (
    SELECT
        part.fine_id,
        part.place
    FROM payment_part AS part
    WHERE part.institution_id = $1 AND part.source = $2 AND part.payment_id = $3
    UNION ALL
    SELECT
        payment.credit_id AS fine_id,
        NULL AS place
    FROM payment
    WHERE
        payment.institution_id = $1
        AND payment.source = $2
        AND payment.payment_id = $3
        AND payment.credit_id IS NOT NULL
) AS paid
ORDER BY paid.place NULLS LAST;

-- name: parked_sums_of_patron
-- Sums without a line of a patron that wait: no fine says so. OFFSET 0 keeps the look-up of each by
-- its key.
SELECT
    waiting.record, waiting.source, waiting.id, waiting.wait, waiting.fine_id, waiting.original,
    waiting.recorded_at, waiting.amount, kept.currency
FROM payment_sum AS kept
CROSS JOIN LATERAL (
    SELECT
        parked.record, parked.source, parked.id, parked.fine_id, parked.original,
        parked.recorded_at, parked.arrival,
        CASE
            WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
            ELSE parked.wait
        END AS wait,
        (
            SELECT payment.amount FROM payment
            WHERE
                payment.institution_id = parked.institution_id
                AND payment.source = parked.source
                AND payment.payment_id = parked.id
        ) AS amount
    FROM parked
    WHERE
        parked.institution_id = kept.institution_id
        AND parked.record = 'payment'
        AND parked.source = kept.source
        AND parked.id = kept.payment_id
    OFFSET 0
) AS waiting
WHERE kept.institution_id = $1 AND kept.patron_id = $2
ORDER BY waiting.arrival;

-- name: fines
-- Fines as they are now.
SELECT
    institution_id, fine_id, patron_id, currency, type, amount, status, considered, remaining,
    outstanding, bursar_transaction_id, profile, batch_number, status_code, refused_reason,
    exportable, credit_of, loan_id, created_at, changed_at, amount_created
FROM report_fine
WHERE institution_id = $1 AND fine_id = any($2::text [])
ORDER BY fine_id;

-- name: responses_of_lines
-- What the bursar answered to the batches that hold these lines. The lines are materialized, so
-- that they are found by their ids and not by way of all batches that were answered.
WITH lines AS MATERIALIZED (
    SELECT
        institution_id, profile, batch_number, bursar_transaction_id, fine_id, state, reason
    FROM export_line
    WHERE institution_id = $1 AND bursar_transaction_id = any($2::text [])
)

SELECT
    response.source, response.response_id, response.profile, response.batch_number, response.state,
    response.reason, response.outcome, response.responded_at, response.recorded_at,
    lines.bursar_transaction_id, lines.fine_id, lines.state AS line_state,
    lines.reason AS line_reason
FROM lines
INNER JOIN export_response AS response
    ON
        lines.institution_id = response.institution_id
        AND lines.profile = response.profile
        AND lines.batch_number = response.batch_number
ORDER BY response.profile, response.batch_number, response.source, response.response_id;

-- name: parked_for_fines
-- What waits for these fines, or behind payments of theirs. Both are found by key, so that the
-- other parked records are not read.
WITH waiting AS (
    SELECT
        institution_id,
        record,
        source,
        id
    FROM parked
    WHERE institution_id = $1 AND fine_id = any($2::text [])
    UNION
    SELECT
        behind.institution_id,
        behind.record,
        behind.source,
        behind.id
    FROM payment
    INNER JOIN parked AS behind
        ON
            payment.institution_id = behind.institution_id
            AND payment.source = behind.source
            AND payment.payment_id = behind.original
    WHERE payment.institution_id = $1 AND payment.fine_id = any($2::text [])
    UNION
    SELECT
        behind.institution_id,
        behind.record,
        behind.source,
        behind.id
    FROM payment_part AS part
    INNER JOIN parked AS behind
        ON
            part.institution_id = behind.institution_id
            AND part.source = behind.source
            AND part.payment_id = behind.original
    WHERE part.institution_id = $1 AND part.fine_id = any($2::text [])
)

SELECT
    parked.record, parked.source, parked.id, parked.wait, parked.fine_id, parked.original,
    parked.recorded_at
FROM waiting
INNER JOIN parked USING (institution_id, record, source, id)
ORDER BY parked.arrival;

-- name: rejected_payments_of_fines
-- Payments that a rule refused, by their identity; their bytes may have expired.
SELECT
    source, payment_id, kind, reason, fine_id, bursar_transaction_id, amount, currency, paid_at
FROM payment
WHERE institution_id = $1 AND fine_id = any($2::text []) AND state = 'rejected'
ORDER BY paid_at, source, payment_id;

-- name: actions_on_fines
-- What people decided about these fines, or about payments of theirs.
WITH subjects AS (
    SELECT jsonb_build_object('institution_id', $1::text, 'fine_id', k.fine_id) AS subject
    FROM unnest($2::text []) AS k (fine_id)
    UNION ALL
    SELECT
        jsonb_build_object('institution_id', $1::text, 'source', source, 'id', payment_id)
            AS subject
    FROM payment
    WHERE institution_id = $1 AND fine_id = any($2::text [])
    UNION ALL
    SELECT
        jsonb_build_object('institution_id', $1::text, 'source', source, 'id', payment_id)
            AS subject
    FROM payment_part
    WHERE institution_id = $1 AND fine_id = any($2::text [])
)

SELECT DISTINCT
    operator_action.action_id,
    operator_action.action,
    operator_action.subject ->> 'fine_id' AS fine_id,
    operator_action.subject ->> 'source' AS source,
    operator_action.subject ->> 'id' AS id,
    operator_action.reason,
    operator_action.operator,
    operator_action.outcome,
    operator_action.recorded_at
FROM subjects
INNER JOIN operator_action ON operator_action.subject @> subjects.subject
ORDER BY operator_action.action_id;

-- name: batches
-- Newest first; every filter may be null.
SELECT
    institution_id, profile, batch_number, export_number, run_id, state, currency, fine_count,
    total, file_name, sha256, cutoff, sealed_at,
    floor(extract(EPOCH FROM document_removed_at - sealed_at) / 86400)::bigint
        AS removed_after_days
FROM report_batch
WHERE
    ($1::text IS NULL OR institution_id = $1)
    AND ($2::text IS NULL OR profile = $2)
    AND ($3::text IS NULL OR state = $3)
    AND ($4::bigint IS NULL OR batch_number = $4)
ORDER BY sealed_at DESC, institution_id ASC, profile ASC, batch_number DESC
LIMIT $5;

-- name: owners_of_batch
-- Of a profile that is named without its institution.
SELECT institution_id
FROM export_batch
WHERE profile = $1 AND batch_number = $2
ORDER BY institution_id;

-- name: lines_of_batch
-- In the file's numbers' order.
SELECT
    institution_id, profile, batch_number, bursar_transaction_id, fine_id, patron_id, currency,
    amount, state, refused_reason, fine_status, outstanding, paid, written_off
FROM report_line
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3
ORDER BY length(bursar_transaction_id), bursar_transaction_id;

-- name: responses_of_batch
-- What the bursar answered to one batch, in the order it came.
SELECT
    source,
    response_id,
    state,
    reason,
    outcome,
    lines
FROM export_response
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3
ORDER BY recorded_at NULLS FIRST, source, response_id;

-- name: payment
-- One payment by its identity, what of it was reversed, and what it waits for. A reversal without
-- an amount has no currency of its own. Of a sum without a line, or its reversal, also the patron
-- and the fines.
SELECT
    payment.institution_id, payment.source, payment.payment_id, payment.kind, payment.state,
    payment.fine_id, payment.bursar_transaction_id, payment.amount,
    payment.paid_at, payment.applied, payment.excess, payment.credit_id, payment.reversed_by,
    payment.reverses, payment.reason, reversed.amount AS reversed_amount,
    CASE
        WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
        ELSE parked.wait
    END AS wait,
    coalesce(payment.currency, fine.currency, lump.currency) AS currency, lump.patron_id,
    lump.fines
FROM payment
LEFT JOIN fine
    ON
        payment.kind = 'reversal'
        AND payment.institution_id = fine.institution_id
        AND payment.fine_id = fine.fine_id
LEFT JOIN payment_reversed AS reversed
    ON
        payment.institution_id = reversed.institution_id
        AND payment.source = reversed.source
        AND payment.payment_id = reversed.payment_id
LEFT JOIN parked
    ON
        payment.institution_id = parked.institution_id
        AND parked.record = 'payment'
        AND payment.source = parked.source
        AND payment.payment_id = parked.id
LEFT JOIN report_sum AS lump
    ON
        payment.institution_id = lump.institution_id
        AND payment.source = lump.source
        AND coalesce(payment.reverses, payment.payment_id) = lump.payment_id
WHERE
    payment.institution_id = $1
    AND payment.source = $2
    AND payment.payment_id = $3;

-- name: payments_since
-- A page in the order of their own time, from an instant on. The sources are found one after the
-- other by the index, and of each no more than a page is read.
-- A sum is sought as the first at its key or after it: whatever the statistics say, that reads the
-- index alone, where a condition of equality may read all sums for each row.
WITH RECURSIVE sources (institution_id, source) AS (
    (
        SELECT
            institution_id,
            source
        FROM payment
        ORDER BY institution_id, source
        LIMIT 1
    )
    UNION ALL
    SELECT
        following.institution_id,
        following.source
    FROM sources
    CROSS JOIN LATERAL (
        SELECT
            payment.institution_id,
            payment.source
        FROM payment
        WHERE
            (payment.institution_id, payment.source) > (sources.institution_id, sources.source)
        ORDER BY payment.institution_id, payment.source
        LIMIT 1
    ) AS following
)

SELECT
    page.institution_id, page.source, page.payment_id, page.kind, page.state, page.fine_id,
    page.bursar_transaction_id, page.amount, page.paid_at, page.applied, page.excess,
    page.credit_id, page.reversed_by, page.reverses, page.reason,
    coalesce(
        page.currency,
        (
            SELECT fine.currency FROM fine
            WHERE
                page.kind = 'reversal'
                AND fine.institution_id = page.institution_id
                AND fine.fine_id = page.fine_id
        ),
        lump.currency
    ) AS currency,
    lump.patron_id,
    lump.fines,
    (
        SELECT reversed.amount FROM payment_reversed AS reversed
        WHERE
            reversed.institution_id = page.institution_id
            AND reversed.source = page.source
            AND reversed.payment_id = page.payment_id
    ) AS reversed_amount,
    (
        SELECT
            CASE
                WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
                ELSE parked.wait
            END
        FROM parked
        WHERE
            parked.institution_id = page.institution_id
            AND parked.record = 'payment'
            AND parked.source = page.source
            AND parked.id = page.payment_id
    ) AS wait
FROM sources
CROSS JOIN LATERAL (
    SELECT
        payment.institution_id, payment.source, payment.payment_id, payment.kind, payment.state,
        payment.fine_id, payment.bursar_transaction_id, payment.currency, payment.amount,
        payment.paid_at, payment.applied, payment.excess, payment.credit_id, payment.reversed_by,
        payment.reverses, payment.reason
    FROM payment
    WHERE
        payment.institution_id = sources.institution_id
        AND payment.source = sources.source
        AND payment.paid_at >= $3
    ORDER BY payment.paid_at, payment.payment_id
    LIMIT $4
) AS page
LEFT JOIN LATERAL (
    SELECT
        kept.patron_id,
        kept.currency,
        kept.fines
    FROM (
        SELECT
            report_sum.institution_id, report_sum.source, report_sum.payment_id,
            report_sum.patron_id, report_sum.currency, report_sum.fines
        FROM report_sum
        WHERE
            page.fine_id IS NULL
            AND (report_sum.institution_id, report_sum.source, report_sum.payment_id)
            >= (page.institution_id, page.source, coalesce(page.reverses, page.payment_id))
        ORDER BY report_sum.institution_id, report_sum.source, report_sum.payment_id
        LIMIT 1
    ) AS kept
    WHERE
        kept.institution_id = page.institution_id
        AND kept.source = page.source
        AND kept.payment_id = coalesce(page.reverses, page.payment_id)
) AS lump ON TRUE
WHERE
    ($1::text IS NULL OR sources.institution_id = $1)
    AND ($2::text IS NULL OR sources.source = $2)
ORDER BY page.paid_at, page.institution_id, page.source, page.payment_id
LIMIT $4;

-- name: fine_and_batch_of_line
-- The fine and the batch of a bursar transaction id.
SELECT
    fine_id,
    profile,
    batch_number
FROM export_line
WHERE institution_id = $1 AND bursar_transaction_id = $2;

-- name: fine_of_change
SELECT fine_id
FROM fine_change
WHERE institution_id = $1 AND source = $2 AND change_id = $3;

-- name: batches_of_fine
-- The batches that a fine was exported in, the latest last.
SELECT
    profile,
    batch_number
FROM report_transaction
WHERE
    institution_id = $1
    AND fine_id = $2
    AND kind IN ('export', 'export_and_paid')
ORDER BY sequence;
