-- What reports read: views and functions with documented columns; nothing here is written to.
-- Amounts are integer minor units of the row's currency; times are UTC.

-- What operators look at first, without reading all the rest.
CREATE INDEX fine_held ON fine (institution_id, fine_id)
WHERE
    status IN ('Active', 'In dispute')
    AND (status = 'In dispute' OR refused_reason IS NOT NULL OR NOT (exportable OR released));
CREATE INDEX rejected_open ON rejected (reason, institution_id) WHERE state = 'open';

CREATE VIEW report_account AS
SELECT
    institution_id,
    patron_id,
    currency,
    active,
    transferred,
    active + transferred AS total,
    epoch,
    sequence
FROM account;
COMMENT ON VIEW report_account IS 'Every account now; sequence is its last transaction''s';

CREATE VIEW report_transaction AS
SELECT
    institution_id,
    patron_id,
    currency,
    epoch,
    sequence,
    transaction_id,
    fine_id,
    kind,
    label,
    amount,
    active_change,
    transferred_change,
    active,
    transferred,
    active + transferred AS total,
    comment,
    cause ->> 'source' AS source,
    cause ->> 'payment_id' AS payment_id,
    cause ->> 'reverses_payment_id' AS reverses_payment_id,
    cause ->> 'status_code' AS status_code,
    cause ->> 'change_id' AS change_id,
    cause ->> 'profile' AS profile,
    (cause ->> 'batch_number')::bigint AS batch_number,
    cause ->> 'bursar_transaction_id' AS bursar_transaction_id,
    fine_status,
    fine_considered,
    fine_remaining,
    fine_outstanding,
    occurred_at,
    recorded_at
FROM ledger_transaction;
COMMENT ON VIEW report_transaction IS
'The ledger, one row per effect: balances after it, the fine after it, and what caused it';

CREATE VIEW report_fine AS
SELECT
    fine.institution_id,
    fine.fine_id,
    fine.patron_id,
    fine.currency,
    fine.type,
    fine.amount,
    fine.status,
    fine.considered,
    fine.remaining,
    fine.outstanding,
    fine.line AS bursar_transaction_id,
    line.profile,
    line.batch_number,
    fine.status_code,
    fine.refused_reason,
    fine.exportable OR fine.released AS exportable,
    fine.credit_of,
    fine.loan_id,
    fine.created_at,
    fine.changed_at
FROM fine
LEFT JOIN export_line AS line
    ON fine.institution_id = line.institution_id AND fine.line = line.bursar_transaction_id;
COMMENT ON VIEW report_fine IS 'Every fine now; profile and batch of its live line';

CREATE VIEW report_batch AS
SELECT
    batch.institution_id,
    batch.profile,
    batch.batch_number,
    batch.export_number::text AS export_number,
    batch.run_id,
    CASE
        WHEN
            batch.state = 'sealed'
            AND batch.outbox_id NOT IN (SELECT outbox.id FROM outbox)
            THEN 'published'
        ELSE batch.state
    END AS state,
    batch.currency,
    batch.fine_count,
    batch.total,
    batch.file_name,
    encode(batch.sha256, 'hex') AS sha256,
    batch.cutoff,
    batch.sealed_at
FROM export_batch AS batch;
COMMENT ON VIEW report_batch IS
'Batches: sealed, published (the broker has it), accepted, partly_refused, refused';

CREATE VIEW report_line AS
SELECT
    line.institution_id,
    line.profile,
    line.batch_number,
    line.bursar_transaction_id,
    line.fine_id,
    fine.patron_id,
    line.currency,
    line.amount,
    line.state,
    line.reason AS refused_reason,
    fine.status AS fine_status,
    CASE WHEN line.state = 'live' THEN fine.outstanding ELSE 0 END AS outstanding,
    CASE WHEN line.state = 'live' THEN coalesce(settled.paid, 0) ELSE 0 END AS paid,
    CASE WHEN line.state = 'live' THEN coalesce(settled.written_off, 0) ELSE 0 END AS written_off
FROM export_line AS line
INNER JOIN fine USING (institution_id, fine_id)
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(p.applied) FILTER (WHERE p.kind = 'payment'), 0)::bigint AS paid,
        coalesce(sum(p.applied) FILTER (WHERE p.kind = 'write_off'), 0)::bigint AS written_off
    FROM payment AS p
    WHERE
        p.institution_id = line.institution_id
        AND p.fine_id = line.fine_id
        AND p.state = 'applied'
        AND p.kind IN ('payment', 'write_off')
        AND p.reversed_by IS NULL
) AS settled ON TRUE;
COMMENT ON VIEW report_line IS
'Each line of each batch and what became of it; paid and written_off are what stands, unreversed';

CREATE FUNCTION report_account_recorded(at timestamptz)
RETURNS TABLE (
    institution_id text,
    patron_id text,
    currency text,
    active bigint,
    transferred bigint,
    total bigint,
    sequence bigint
)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (t.institution_id, t.patron_id, t.currency)
        t.institution_id::text,
        t.patron_id::text,
        t.currency::text,
        t.active,
        t.transferred,
        t.active + t.transferred,
        t.sequence
    FROM ledger_transaction AS t
    WHERE t.recorded_at <= at
    ORDER BY t.institution_id, t.patron_id, t.currency, t.sequence DESC
$$;
COMMENT ON FUNCTION report_account_recorded IS
'Accounts as this service knew them at an instant (recorded time)';

CREATE FUNCTION report_account_effective(at timestamptz)
RETURNS TABLE (
    institution_id text,
    patron_id text,
    currency text,
    active bigint,
    transferred bigint,
    total bigint
)
LANGUAGE sql STABLE AS $$
    SELECT
        t.institution_id::text,
        t.patron_id::text,
        t.currency::text,
        sum(t.active_change)::bigint,
        sum(t.transferred_change)::bigint,
        sum(t.active_change + t.transferred_change)::bigint
    FROM ledger_transaction AS t
    WHERE t.occurred_at <= at
    GROUP BY t.institution_id, t.patron_id, t.currency
$$;
COMMENT ON FUNCTION report_account_effective IS
'Accounts by what had happened at an instant (effective time), known then or learnt later';
