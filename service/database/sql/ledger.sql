-- name: accounts_of_references
-- The accounts of the fines, lines, payments and batches that events refer to. The account of a
-- fine or of a sum never changes, so this is read without a lock. OFFSET 0 keeps the look-up of
-- each line by its key, also among those that wait after a recovery.
WITH named AS (
    SELECT
        k.institution_id,
        k.fine_id
    FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
    UNION
    SELECT k.institution_id, line.fine_id
    FROM unnest($3::text [], $4::text []) AS k (institution_id, bursar_transaction_id)
    CROSS JOIN LATERAL (
        SELECT named_line.fine_id
        FROM batch_line AS named_line
        WHERE
            named_line.institution_id = k.institution_id
            AND named_line.bursar_transaction_id = k.bursar_transaction_id
        OFFSET 0
    ) AS line
    UNION
    SELECT institution_id, payment.fine_id
    FROM unnest($5::text [], $6::text [], $7::text []) AS k (institution_id, source, payment_id)
    INNER JOIN payment USING (institution_id, source, payment_id)
    UNION
    SELECT institution_id, line.fine_id
    FROM unnest($8::text [], $9::text [], $10::bigint [])
        AS k (institution_id, profile, batch_number)
    INNER JOIN batch_line AS line USING (institution_id, profile, batch_number)
)

SELECT
    institution_id,
    fine.patron_id,
    fine.currency
FROM named
INNER JOIN fine USING (institution_id, fine_id)
UNION
SELECT
    institution_id,
    kept.patron_id,
    kept.currency
FROM unnest($5::text [], $6::text [], $7::text []) AS k (institution_id, source, payment_id)
INNER JOIN payment_sum AS kept USING (institution_id, source, payment_id);

-- name: known_fines
-- Those of the fines that exist. OFFSET 0 keeps the look-up of each key: otherwise the index of a
-- table of some ten thousand rows is read from end to end for the keys of a poll.
SELECT
    known.institution_id,
    known.fine_id
FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
CROSS JOIN LATERAL (
    SELECT
        fine.institution_id,
        fine.fine_id
    FROM fine
    WHERE fine.institution_id = k.institution_id AND fine.fine_id = k.fine_id
    OFFSET 0
) AS known;

-- name: insert_missing_accounts
-- Inserts accounts before they are locked. Inserting and locking in one statement would deadlock
-- with another session, and so would locking, inserting and locking again. After a recovery all
-- accounts are of its epoch.
INSERT INTO account (institution_id, patron_id, currency, epoch)
SELECT
    k.institution_id,
    k.patron_id,
    k.currency,
    coalesce((SELECT max(recovery.epoch) FROM recovery), 1) AS epoch
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, patron_id, currency)
WHERE NOT EXISTS (
    SELECT FROM account
    WHERE
        account.institution_id = k.institution_id
        AND account.patron_id = k.patron_id
        AND account.currency = k.currency
)
ORDER BY k.institution_id COLLATE "C", k.patron_id COLLATE "C", k.currency COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: lock_accounts
-- Locks the accounts of one commit in the order of their keys. Whoever writes a fine holds its
-- account.
SELECT
    institution_id, patron_id, currency, active, transferred, sequence, epoch
FROM account
INNER JOIN unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, patron_id, currency)
    USING (institution_id, patron_id, currency)
ORDER BY institution_id, patron_id, currency
FOR UPDATE OF account;

-- name: read_account
-- The same accounts without a lock, for previews.
SELECT
    institution_id, patron_id, currency, active, transferred, sequence, epoch
FROM account
INNER JOIN unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, patron_id, currency)
    USING (institution_id, patron_id, currency);

-- name: clock
-- The time at which the transaction records. It is read after the accounts are locked, so that the
-- times of an account's transactions are in their order. Whether adopted lines wait is read beside
-- it: nearly always there are none, and then no other statement asks for them.
SELECT
    clock_timestamp() AS recorded_at,
    EXISTS (SELECT FROM adopted_line WHERE state = 'waiting') AS lines_wait; -- noqa

-- name: limit_waits
-- Limits the waits of this transaction. If the limit of the session is shorter, it stays; 0 is no
-- limit.
SELECT set_config(session.name, k.milliseconds::text, TRUE)
FROM unnest($1::text [], $2::bigint []) AS k (name, milliseconds)
INNER JOIN pg_settings AS session USING (name)
WHERE session.setting = '0' OR session.setting::bigint > k.milliseconds;

-- name: read_fine
-- Fines by their keys. OFFSET 0 keeps the look-up of each key.
SELECT known.*
FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
CROSS JOIN LATERAL (
    SELECT
        fine.institution_id, fine.fine_id, fine.patron_id, fine.currency, fine.type, fine.amount,
        fine.owner, fine.created_at, fine.comment, fine.loan_id, fine.item, fine.credit_of,
        fine.exportable, fine.digest, fine.status, fine.considered, fine.remaining,
        fine.outstanding, fine.line, fine.terms_id, fine.payments_live, fine.status_code,
        fine.refused_reason, fine.released, fine.changed_at, amendment.amount_created,
        amendment.adjusted_at, amendment.disputed_at, amendment.unconfirmed
    FROM fine
    LEFT JOIN fine_amendment AS amendment
        ON fine.institution_id = amendment.institution_id AND fine.fine_id = amendment.fine_id
    WHERE fine.institution_id = k.institution_id AND fine.fine_id = k.fine_id
    OFFSET 0
) AS known;

-- name: unchanged_fines
-- Which of these fines are without an amendment and have the row that this transaction has read
-- before: each update gives a row another xmin. No column has to be sent again.
SELECT
    fine.institution_id,
    fine.fine_id
FROM unnest($1::text [], $2::text [], $3::xid []) AS k (institution_id, fine_id, version)
INNER JOIN fine
    ON k.institution_id = fine.institution_id AND k.fine_id = fine.fine_id
LEFT JOIN fine_amendment AS amendment
    ON fine.institution_id = amendment.institution_id AND fine.fine_id = amendment.fine_id
WHERE
    fine.xmin = k.version
    AND amendment.fine_id IS NULL;

-- name: credits_of_fines
-- The credits of some debits, in the same account, each with what its row does not say: how much of
-- it was waived or cancelled, and whether the excess of a payment or a change in the library has
-- made it. It has followed its fine if the fine was closed by its own export when the credit was
-- exported last; sequences are those of the one account. OFFSET 0 keeps the look-ups by key: with
-- old statistics all fines would be read.
SELECT
    credit.institution_id,
    credit.fine_id,
    history.reduced,
    history.is_excess,
    history.is_of_change,
    coalesce((
        SELECT
            latest.fine_status = 'Closed'
            AND latest.kind NOT IN ('desk_payment', 'waiver', 'cancellation', 'adjustment')
        FROM ledger_transaction AS latest
        WHERE
            latest.institution_id = debit.institution_id
            AND latest.fine_id = debit.fine_id
            AND latest.sequence < history.exported
        ORDER BY latest.sequence DESC
        LIMIT 1
    ), FALSE) AS followed
FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
CROSS JOIN LATERAL (
    SELECT
        f.institution_id,
        f.fine_id,
        f.patron_id,
        f.currency
    FROM fine AS f
    WHERE f.institution_id = k.institution_id AND f.fine_id = k.fine_id AND f.type <> 'CREDIT'
    OFFSET 0
) AS debit
CROSS JOIN LATERAL (
    SELECT
        f.institution_id,
        f.fine_id
    FROM fine AS f
    WHERE
        f.institution_id = debit.institution_id
        AND f.credit_of = debit.fine_id
        AND f.patron_id = debit.patron_id
        AND f.currency = debit.currency
        AND f.type = 'CREDIT'
    OFFSET 0
) AS credit
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(t.amount) FILTER (
            WHERE t.kind IN ('waiver', 'cancellation', 'credit_cancelled')
        ), 0)::bigint AS reduced,
        coalesce(bool_or(t.kind = 'credit' AND t.cause ? 'payment_id'), FALSE) AS is_excess,
        coalesce(bool_or(t.kind = 'credit' AND t.cause ? 'change_id'), FALSE) AS is_of_change,
        max(t.sequence) FILTER (WHERE t.kind = 'export') AS exported
    FROM ledger_transaction AS t
    WHERE t.institution_id = credit.institution_id AND t.fine_id = credit.fine_id
) AS history;

-- name: read_patron
-- Patrons by their keys.
SELECT
    patron.institution_id,
    patron.patron_id,
    patron.name,
    patron.user_group,
    patron.identifiers,
    patron.seen_at
FROM unnest($1::text [], $2::text []) AS k (institution_id, patron_id)
INNER JOIN patron USING (institution_id, patron_id);

-- name: read_payment
-- Payments by their identities.
SELECT
    payment.institution_id, payment.source, payment.payment_id, payment.kind, payment.digest,
    payment.state, payment.fine_id, payment.bursar_transaction_id, payment.currency, payment.amount,
    payment.paid_at, payment.applied, payment.excess, payment.credit_id, payment.reversed_by,
    payment.reverses, payment.reason
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, source, payment_id)
INNER JOIN payment USING (institution_id, source, payment_id);

-- name: reversed_amounts
-- How much has been reversed of payments. Only reversals ask for it.
SELECT
    reversed.institution_id,
    reversed.source,
    reversed.payment_id,
    reversed.amount
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, source, payment_id)
INNER JOIN payment_reversed AS reversed USING (institution_id, source, payment_id);

-- name: read_fine_change
-- Changes by their identities.
SELECT
    fine_change.institution_id, fine_change.source, fine_change.change_id, fine_change.digest,
    fine_change.state, fine_change.fine_id, fine_change.reason
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, source, change_id)
INNER JOIN fine_change USING (institution_id, source, change_id);

-- name: read_export_response
-- Responses by their identities.
SELECT
    export_response.institution_id, export_response.source, export_response.response_id,
    export_response.digest, export_response.profile, export_response.batch_number,
    export_response.state, export_response.reason, export_response.outcome, export_response.lines,
    export_response.responded_at, export_response.recorded_at
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, source, response_id)
INNER JOIN export_response USING (institution_id, source, response_id);

-- name: read_export_line
-- Lines of exports by their bursar transaction ids. OFFSET 0 keeps the look-up of each key.
SELECT known.*
FROM unnest($1::text [], $2::text []) AS k (institution_id, bursar_transaction_id)
CROSS JOIN LATERAL (
    SELECT
        line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile,
        line.batch_number, line.amount, line.currency, line.state, line.reason
    FROM export_line AS line
    WHERE
        line.institution_id = k.institution_id
        AND line.bursar_transaction_id = k.bursar_transaction_id
    OFFSET 0
) AS known;

-- name: lines_of_batches
-- All lines of some batches.
SELECT
    line.institution_id, line.bursar_transaction_id, line.fine_id, line.profile, line.batch_number,
    line.amount, line.currency, line.state, line.reason
FROM unnest($1::text [], $2::text [], $3::bigint []) AS k (institution_id, profile, batch_number)
INNER JOIN export_line AS line USING (institution_id, profile, batch_number);

-- name: batch_sizes
-- How many lines batches have, so that the weight of a response is known before it is applied.
SELECT
    institution_id,
    profile,
    batch_number,
    fine_count
FROM export_batch
INNER JOIN unnest($1::text [], $2::text [], $3::bigint [])
    AS k (institution_id, profile, batch_number)
    USING (institution_id, profile, batch_number);

-- name: lock_export_batch
-- Locks batches after the accounts, in the order of their keys, so that two responses to one batch
-- are decided one after the other.
SELECT
    institution_id, profile, batch_number, state, currency, fine_count, total
FROM export_batch
INNER JOIN unnest($1::text [], $2::text [], $3::bigint [])
    AS k (institution_id, profile, batch_number)
    USING (institution_id, profile, batch_number)
ORDER BY institution_id, profile, batch_number
FOR UPDATE OF export_batch;

-- name: parked_waiting
-- The parked records that wait for these fines or behind these payments, and those behind them,
-- oldest first. Payments that reversals name are read as well, because the reversals wait in their
-- queues.
WITH RECURSIVE waiting AS (
    -- Nothing can be applied in the queue of a fine that does not exist, so the queue is not read.
    SELECT p.institution_id, p.record, p.source, p.id
    FROM unnest($1::text [], $2::text [], $9::boolean []) AS k (institution_id, fine_id, is_created)
    INNER JOIN parked AS p USING (institution_id, fine_id)
    WHERE
        k.is_created
        OR EXISTS (
            SELECT FROM fine
            WHERE fine.institution_id = k.institution_id AND fine.fine_id = k.fine_id
        )
    UNION
    SELECT p.institution_id, p.record, p.source, p.id
    FROM unnest($3::text [], $4::text [], $5::text []) AS k (institution_id, source, original)
    INNER JOIN parked AS p USING (institution_id, source, original)
    UNION
    SELECT p.institution_id, p.record, p.source, p.id
    FROM unnest($6::text [], $7::text [], $8::text []) AS k (institution_id, source, id)
    INNER JOIN parked AS p USING (institution_id, source, id)
    WHERE p.record = 'payment'
    UNION
    SELECT p.institution_id, p.record, p.source, p.id
    FROM unnest($10::text [], $11::text [], $12::text [], $13::text [])
        AS k (institution_id, record, source, id)
    INNER JOIN parked AS p USING (institution_id, record, source, id)
    UNION
    SELECT p.institution_id, p.record, p.source, p.id
    FROM waiting AS w
    INNER JOIN parked AS p
        ON w.institution_id = p.institution_id AND w.source = p.source AND w.id = p.original
    WHERE w.record = 'payment'
)

SELECT
    parked.institution_id, parked.record, parked.source, parked.id, parked.wait, parked.fine_id,
    parked.original, parked.bursar_transaction_id, parked.arrival, parked.topic, parked.partition,
    parked.record_offset, parked.record_key,
    coalesce(kept.record_value, parked.record_value) AS record_value,
    coalesce(kept.record_headers, parked.record_headers) AS record_headers,
    parked.traceparent, parked.recorded_at
FROM parked
INNER JOIN waiting USING (institution_id, record, source, id)
LEFT JOIN parked_original AS kept USING (institution_id, record, source, id)
-- A record on which the program failed waits for a person.
WHERE NOT EXISTS (
    SELECT FROM parked_failure AS failure
    WHERE
        failure.institution_id = waiting.institution_id
        AND failure.record = waiting.record
        AND failure.source = waiting.source
        AND failure.id = waiting.id
)
ORDER BY parked.arrival;

-- name: read_terms
-- Terms by their ids.
SELECT
    institution_id,
    terms_id,
    body
FROM unnest($1::text [], $2::text []) AS k (institution_id, terms_id)
INNER JOIN terms USING (institution_id, terms_id);

-- name: put_terms
-- Inserts terms that are new. Terms never change.
INSERT INTO terms (institution_id, terms_id, body)
SELECT
    k.institution_id,
    k.terms_id,
    k.body::jsonb
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, terms_id, body)
ORDER BY k.institution_id COLLATE "C", k.terms_id COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: read_loan_closed
-- Those of the loans that are closed.
SELECT
    institution_id,
    loan_id
FROM unnest($1::text [], $2::text []) AS k (institution_id, loan_id)
INNER JOIN loan_closed USING (institution_id, loan_id);

-- name: write_account
-- Sets the balances and the last sequence of accounts that this transaction has locked.
UPDATE account
SET
    active = k.active,
    transferred = k.transferred,
    sequence = k.sequence
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::bigint [], $5::bigint [], $6::bigint []
) AS k (institution_id, patron_id, currency, active, transferred, sequence)
WHERE
    account.institution_id = k.institution_id
    AND account.patron_id = k.patron_id
    AND account.currency = k.currency;

-- name: write_patron
-- Inserts or replaces patrons. A patron has several accounts, so another session may have written a
-- newer snapshot meanwhile: the newer one stays. A snapshot that is later than the time of
-- recording ($7) gets that time, and one that an older release has stored is replaced by any other:
-- otherwise no later snapshot would ever be newer.
INSERT INTO patron (institution_id, patron_id, name, user_group, identifiers, seen_at)
SELECT
    k.institution_id,
    k.patron_id,
    k.name,
    k.user_group,
    k.identifiers::jsonb,
    least(k.seen_at, $7::timestamptz) AS seen_at
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::text [], $6::timestamptz []
) AS k (institution_id, patron_id, name, user_group, identifiers, seen_at)
ORDER BY k.institution_id COLLATE "C", k.patron_id COLLATE "C"
ON CONFLICT (institution_id, patron_id) DO UPDATE
    SET
        name = excluded.name,
        user_group = excluded.user_group,
        identifiers = excluded.identifiers,
        seen_at = excluded.seen_at
    WHERE patron.seen_at < excluded.seen_at OR patron.seen_at > $7::timestamptz;

-- name: write_fine
-- Sets what can change of fines. Their accounts are locked.
UPDATE fine
SET
    amount = k.amount,
    status = k.status,
    considered = k.considered,
    remaining = k.remaining,
    outstanding = k.outstanding,
    line = k.line,
    terms_id = k.terms_id,
    payments_live = k.payments_live,
    status_code = k.status_code,
    refused_reason = k.refused_reason,
    released = k.released,
    changed_at = k.changed_at
FROM unnest(
    $1::text [], $2::text [], $3::bigint [], $4::text [], $5::text [], $6::bigint [],
    $7::bigint [], $8::text [], $9::text [], $10::integer [], $11::text [], $12::text [],
    $13::boolean [], $14::timestamptz []
) AS k (
    institution_id, fine_id, amount, status, considered, remaining, outstanding, line, terms_id,
    payments_live, status_code, refused_reason, released, changed_at
)
WHERE fine.institution_id = k.institution_id AND fine.fine_id = k.fine_id;

-- name: write_fine_amendment
-- Inserts or replaces what is kept of fines beside their rows. Their accounts are locked.
INSERT INTO fine_amendment (
    institution_id, fine_id, amount_created, adjusted_at, disputed_at, unconfirmed
)
SELECT
    k.institution_id,
    k.fine_id,
    k.amount_created,
    k.adjusted_at,
    k.disputed_at,
    k.unconfirmed
FROM unnest(
    $1::text [], $2::text [], $3::bigint [], $4::timestamptz [], $5::timestamptz [],
    $6::boolean []
) AS k (institution_id, fine_id, amount_created, adjusted_at, disputed_at, unconfirmed)
ORDER BY k.institution_id COLLATE "C", k.fine_id COLLATE "C"
ON CONFLICT (institution_id, fine_id) DO UPDATE
    SET
        amount_created = excluded.amount_created,
        adjusted_at = excluded.adjusted_at,
        disputed_at = excluded.disputed_at,
        unconfirmed = excluded.unconfirmed;

-- name: write_payment
-- Sets what can change of payments.
UPDATE payment
SET
    state = k.state,
    fine_id = k.fine_id,
    applied = k.applied,
    excess = k.excess,
    credit_id = k.credit_id,
    reversed_by = k.reversed_by,
    reason = k.reason
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::text [], $6::bigint [],
    $7::bigint [], $8::text [], $9::text [], $10::text []
) AS k (
    institution_id, source, payment_id, state, fine_id, applied, excess, credit_id, reversed_by,
    reason
)
WHERE
    payment.institution_id = k.institution_id
    AND payment.source = k.source
    AND payment.payment_id = k.payment_id;

-- name: add_reversed_amounts
-- Adds what was reversed of payments. The sum is made here, and not written as the reader of the
-- payment knew it, so that the CHECK of the table sees every reversal.
INSERT INTO payment_reversed AS reversed (
    institution_id, source, payment_id, amount, payment_amount
)
SELECT
    k.institution_id,
    k.source,
    k.payment_id,
    k.amount,
    k.payment_amount
FROM unnest($1::text [], $2::text [], $3::text [], $4::bigint [], $5::bigint [])
    AS k (institution_id, source, payment_id, amount, payment_amount)
ORDER BY k.institution_id COLLATE "C", k.source COLLATE "C", k.payment_id COLLATE "C"
ON CONFLICT (institution_id, source, payment_id) DO UPDATE
    SET amount = reversed.amount + excluded.amount;

-- name: write_fine_change
-- Sets what can change of changes.
UPDATE fine_change
SET
    state = k.state,
    reason = k.reason
FROM unnest($1::text [], $2::text [], $3::text [], $4::text [], $5::text [])
    AS k (institution_id, source, change_id, state, reason)
WHERE
    fine_change.institution_id = k.institution_id
    AND fine_change.source = k.source
    AND fine_change.change_id = k.change_id;

-- name: write_export_response
-- Sets what can change of responses: one that was rejected is decided again, and then counts as
-- recorded now.
UPDATE export_response
SET
    state = k.state,
    reason = k.reason,
    outcome = k.outcome,
    lines = k.lines,
    responded_at = k.responded_at,
    recorded_at = $9
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::text [], $6::text [], $7::bigint [],
    $8::timestamptz []
) AS k (institution_id, source, response_id, state, reason, outcome, lines, responded_at)
WHERE
    export_response.institution_id = k.institution_id
    AND export_response.source = k.source
    AND export_response.response_id = k.response_id;

-- name: write_export_line
-- Sets what can change of the lines of exports.
UPDATE export_line
SET
    state = k.state,
    reason = k.reason
FROM unnest($1::text [], $2::text [], $3::text [], $4::text [])
    AS k (institution_id, bursar_transaction_id, state, reason)
WHERE
    export_line.institution_id = k.institution_id
    AND export_line.bursar_transaction_id = k.bursar_transaction_id;

-- name: write_export_batch
-- Sets the states of batches.
UPDATE export_batch
SET state = k.state
FROM unnest($1::text [], $2::text [], $3::bigint [], $4::text [])
    AS k (institution_id, profile, batch_number, state)
WHERE
    export_batch.institution_id = k.institution_id
    AND export_batch.profile = k.profile
    AND export_batch.batch_number = k.batch_number;

-- name: write_parked
-- Sets what parked records wait for, and so their queues. Their order of arrival stays.
UPDATE parked
SET
    wait = k.wait,
    fine_id = k.fine_id,
    original = k.original
FROM unnest(
    $1::text [], $2::text [], $3::text [], $4::text [], $5::text [], $6::text [], $7::text []
) AS k (institution_id, record, source, id, wait, fine_id, original)
WHERE
    parked.institution_id = k.institution_id
    AND parked.record = k.record
    AND parked.source = k.source
    AND parked.id = k.id;

-- name: delete_parked
-- Deletes records that do not wait any more.
DELETE FROM parked
USING unnest($1::text [], $2::text [], $3::text [], $4::text [])
    AS k (institution_id, record, source, id)
WHERE
    parked.institution_id = k.institution_id
    AND parked.record = k.record
    AND parked.source = k.source
    AND parked.id = k.id;

-- name: move_earlier_rejected
-- Gives the places of other records free. If a topic was created again, other records stand at
-- places that are known. The row of an earlier record keeps everything but its place: the time at
-- which it was recorded is added to its topic. The key cannot have more columns, because earlier
-- releases name its four.
UPDATE rejected
SET
    topic
    = rejected.topic || '@'
    || to_char(rejected.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM unnest($1::text [], $2::integer [], $3::bigint [], $4::bytea [], $5::bytea [])
    AS k (topic, partition, record_offset, record_key, record_value)
WHERE
    rejected.topic = k.topic
    AND rejected.partition = k.partition
    AND rejected.record_offset = k.record_offset
    -- Of a record whose bytes were removed the digest of key and value is kept.
    AND CASE
        WHEN rejected.original_sha256 IS NULL
            THEN
                (rejected.record_key, rejected.record_value)
                IS DISTINCT FROM (k.record_key, k.record_value)
        ELSE
            rejected.original_sha256
            <> sha256(coalesce(k.record_key, '') || '\x00' || coalesce(k.record_value, ''))
    END;

-- name: places_of_others
-- Those of the places at which an earlier record was moved, which has a time behind the topic's
-- name ('A' is the character after '@').
SELECT
    k.topic,
    k.partition,
    k.record_offset
FROM unnest($1::text [], $2::integer [], $3::bigint []) AS k (topic, partition, record_offset)
WHERE
    EXISTS (
        SELECT FROM rejected AS kept
        WHERE
            kept.topic > k.topic || '@'
            AND kept.topic < k.topic || 'A'
            AND kept.partition = k.partition
            AND kept.record_offset = k.record_offset
    );

-- name: move_earlier_parked_error
-- The same for sound records on which the program failed.
UPDATE parked_error
SET
    topic
    = parked_error.topic || '@'
    || to_char(parked_error.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
WHERE
    parked_error.topic = $1
    AND parked_error.partition = $2
    AND parked_error.record_offset = $3
    AND (parked_error.record_key, parked_error.record_value)
    IS DISTINCT FROM ($4::bytea, $5::bytea);

-- name: put_rejected
-- Inserts rejected records. A record that is read again after a restore is rejected again and keeps
-- its row. If it was replayed and is rejected later all the same, its row is open again.
INSERT INTO rejected (
    topic, partition, record_offset, institution_id, reason, detail,
    record_key, record_value, record_headers, record_timestamp_ms, recorded_at
)
SELECT DISTINCT ON (k.topic COLLATE "C", k.partition, k.record_offset, k.reason)
    k.topic, k.partition, k.record_offset, k.institution_id, k.reason, k.detail, k.record_key,
    k.record_value, k.record_headers, k.record_timestamp_ms,
    $11::timestamptz
FROM unnest(
    $1::text [], $2::integer [], $3::bigint [], $4::text [], $5::text [],
    $6::text [], $7::bytea [], $8::bytea [], $9::bytea [], $10::bigint []
) AS k (
    topic, partition, record_offset, institution_id, reason, detail, record_key, record_value,
    record_headers, record_timestamp_ms
)
ORDER BY k.topic COLLATE "C", k.partition, k.record_offset, k.reason
ON CONFLICT (topic, partition, record_offset, reason) DO UPDATE
    SET state = 'open'
    WHERE rejected.state = 'replayed';

-- name: put_parked_error
-- Inserts a record on which the program failed. If the record is read again and fails again, it
-- keeps its row.
INSERT INTO parked_error (
    topic, partition, record_offset, institution_id, error,
    record_key, record_value, record_headers, traceparent, fine_id, record_timestamp_ms,
    recorded_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())
ON CONFLICT DO NOTHING;

-- name: parked_errors_in_a_row
-- How many of the records up to this offset are parked as internal errors, without a gap.
SELECT count(*)::bigint AS in_a_row
FROM parked_error
WHERE topic = $1 AND partition = $2 AND record_offset > $3 - $4::bigint AND record_offset <= $3;

-- name: put_parked_failures
-- Marks parked records as failed: they stay parked and are not read until a person has decided. The
-- lock leaves out records that another session deletes meanwhile; otherwise the foreign key would
-- raise.
INSERT INTO parked_failure (institution_id, record, source, id, error)
SELECT
    parked.institution_id,
    parked.record,
    parked.source,
    parked.id,
    $5 AS error
FROM unnest($1::text [], $2::text [], $3::text [], $4::text [])
    AS k (institution_id, record, source, id)
INNER JOIN parked USING (institution_id, record, source, id)
ORDER BY parked.institution_id, parked.record, parked.source, parked.id
FOR KEY SHARE OF parked
ON CONFLICT DO NOTHING
RETURNING id;
