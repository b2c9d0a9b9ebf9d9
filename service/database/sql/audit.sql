-- What was recorded, for the comparison with what was published. Rows are read by their keys or by
-- a cursor, so that the memory that is needed does not grow with the ledger.

-- name: by_key
-- For what follows in the transaction: the rows of a page are found by their keys, also where the
-- statistics are those of a few batches and a batch seems to be half of the table.
SELECT set_config('enable_seqscan', 'off', TRUE) AS seqscan;

-- name: by_any_way
-- Ends it: whole tables follow.
SELECT set_config('enable_seqscan', 'on', TRUE) AS seqscan;

-- name: patience
-- For this transaction alone: a page may have to wait for a busy server.
SELECT set_config('statement_timeout', $1::text, TRUE) AS statement_timeout;

-- name: recorded_counts
-- How many records of each contract were recorded. An event that a recovery has published again is
-- no transaction.
SELECT
    (
        (SELECT count(*) FROM ledger_transaction)
        + (SELECT count(announced_sequence) FROM recovery_account)
    ) AS transactions,
    (SELECT count(*) FROM export_batch) AS batches,
    (SELECT count(*) FROM loan_closed) AS loans,
    (SELECT count(*) FROM rejected) AS rejections,
    (SELECT count(*) FROM operator_action) AS actions;

-- name: lost_times
-- For each recovery, the time between the last commit that the restored database has and the end of
-- the lost one. What was published meanwhile was recorded in the lost database.
SELECT
    (
        SELECT max(kept.recorded_at) FROM ledger_transaction AS kept
        WHERE kept.epoch < recovery.epoch AND kept.recorded_at < recovery.started_at
    ) AS began_at,
    recovery.started_at AS ended_at
FROM recovery;

-- name: transactions_of_keys
-- Transactions with the balances and the fine after them. `line_state` is that of the line that a
-- refusal has taken back. An event that a recovery has published again is the last transaction
-- before its number, with an id and a time of its own. Its epoch is the one of that time: a later
-- recovery may have published what an earlier one had left.
WITH event_keys AS (
    SELECT place, institution_id, patron_id, currency, sequence
    FROM unnest($1::integer [], $2::text [], $3::text [], $4::text [], $5::bigint [])
        AS k (place, institution_id, patron_id, currency, sequence)
),

named AS (
    SELECT
        place,
        institution_id,
        patron_id,
        currency,
        sequence,
        NULL::integer AS epoch,
        NULL::text AS transaction_id,
        NULL::timestamptz AS recorded_at
    FROM event_keys
    UNION ALL
    SELECT
        event_keys.place,
        event_keys.institution_id,
        event_keys.patron_id,
        event_keys.currency,
        (
            SELECT max(earlier.sequence) FROM ledger_transaction AS earlier
            WHERE
                earlier.institution_id = again.institution_id
                AND earlier.patron_id = again.patron_id
                AND earlier.currency = again.currency
                AND earlier.sequence < again.announced_sequence
        ) AS sequence,
        coalesce((
            SELECT max(recovery.epoch) FROM recovery
            WHERE recovery.started_at <= again.announced_at
        ), again.epoch) AS epoch,
        again.announced_id,
        again.announced_at
    FROM event_keys
    INNER JOIN recovery_account AS again
        ON
            event_keys.institution_id = again.institution_id
            AND event_keys.patron_id = again.patron_id
            AND event_keys.currency = again.currency
            AND event_keys.sequence = again.announced_sequence
)

SELECT
    named.place,
    coalesce(named.epoch, kept.epoch) AS epoch,
    coalesce(named.transaction_id, kept.transaction_id) AS transaction_id,
    kept.fine_id,
    kept.kind,
    kept.label,
    kept.amount,
    kept.active_change,
    kept.transferred_change,
    kept.active,
    kept.transferred,
    kept.fine_status,
    kept.fine_considered,
    kept.fine_remaining,
    kept.fine_outstanding,
    kept.occurred_at,
    coalesce(named.recorded_at, kept.recorded_at) AS recorded_at,
    (
        SELECT line.state FROM export_line AS line
        WHERE
            kept.kind = 'export_rejected'
            AND line.institution_id = kept.institution_id
            AND line.bursar_transaction_id = kept.cause ->> 'bursar_transaction_id'
    ) AS line_state
FROM named
INNER JOIN ledger_transaction AS kept
    ON
        named.institution_id = kept.institution_id
        AND named.patron_id = kept.patron_id
        AND named.currency = kept.currency
        AND named.sequence = kept.sequence;

-- name: batches_of_keys
-- Batches with the digests of their bytes, and of their lines in the order of the ids.
SELECT
    k.place,
    batch.export_number::text AS export_number,
    batch.currency,
    batch.fine_count,
    batch.total,
    batch.file_name,
    batch.sha256,
    batch.previous_sha256,
    batch.sealed_at AS recorded_at,
    CASE
        WHEN batch.document_removed_at IS NULL THEN sha256(batch.document)
        ELSE batch.sha256
    END AS document_sha256,
    sha256(batch.manifest) AS manifest_sha256,
    (
        SELECT
            sha256(convert_to(coalesce(string_agg(
                line.bursar_transaction_id || ' ' || line.fine_id || ' ' || line.amount,
                chr(10) ORDER BY line.bursar_transaction_id
            ), ''), 'UTF8'))
        FROM batch_line AS line
        WHERE
            line.institution_id = batch.institution_id
            AND line.profile = batch.profile
            AND line.batch_number = batch.batch_number
    ) AS lines_sha256
FROM unnest($1::integer [], $2::text [], $3::text [], $4::bigint [])
    AS k (place, institution_id, profile, batch_number)
INNER JOIN export_batch AS batch
    ON
        k.institution_id = batch.institution_id
        AND k.profile = batch.profile
        AND k.batch_number = batch.batch_number;

-- name: loans_of_keys
-- Closed loans.
SELECT
    k.place,
    loan.patron_id,
    loan.fine_id,
    loan.batch_number,
    loan.closed_at
FROM unnest($1::integer [], $2::text [], $3::text []) AS k (place, institution_id, loan_id)
INNER JOIN loan_closed AS loan
    ON k.institution_id = loan.institution_id AND k.loan_id = loan.loan_id;

-- name: rejections_of_keys
-- Rejected records, with the digest of what is published of their bytes; NULL if the bytes were
-- removed. If a record's place is another one's by now, its row has `@` and a time behind the
-- topic's name ('A' comes after '@').
SELECT
    k.place,
    stored.institution_id,
    stored.recorded_at,
    CASE
        WHEN NOT stored.is_removed AND octet_length(stored.record_value) > 524288
            THEN sha256(substring(stored.record_value, 1, 65536))
        WHEN NOT stored.is_removed THEN sha256(coalesce(stored.record_value, ''))
    END AS value_sha256
FROM unnest($1::integer [], $2::text [], $3::integer [], $4::bigint [], $5::text [])
    AS k (place, topic, partition, record_offset, reason)
CROSS JOIN LATERAL (
    SELECT
        rejected.institution_id,
        rejected.recorded_at,
        rejected.record_value,
        rejected.original_removed_at IS NOT NULL AS is_removed
    FROM rejected
    WHERE
        rejected.topic = k.topic
        AND rejected.partition = k.partition
        AND rejected.record_offset = k.record_offset
        AND rejected.reason = k.reason
    UNION ALL
    SELECT
        earlier.institution_id,
        earlier.recorded_at,
        earlier.record_value,
        earlier.original_removed_at IS NOT NULL AS is_removed
    FROM rejected AS earlier
    WHERE
        earlier.topic > k.topic || '@'
        AND earlier.topic < k.topic || 'A'
        AND earlier.partition = k.partition
        AND earlier.record_offset = k.record_offset
        AND earlier.reason = k.reason
) AS stored;

-- name: actions_of_keys
-- Decisions of people.
SELECT
    k.place,
    kept.action,
    kept.institution_id,
    kept.outcome,
    kept.recorded_at
FROM unnest($1::integer [], $2::bigint []) AS k (place, action_id)
INNER JOIN operator_action AS kept ON k.action_id = kept.action_id;

-- name: all_transactions
-- The keys of all transactions and of the events that recoveries have published again, in no order:
-- they are read by a cursor.
SELECT
    institution_id,
    patron_id,
    currency,
    sequence,
    recorded_at
FROM ledger_transaction
UNION ALL
SELECT
    institution_id,
    patron_id,
    currency,
    announced_sequence AS sequence,
    announced_at AS recorded_at
FROM recovery_account
WHERE announced_sequence IS NOT NULL;

-- name: all_batches
-- The keys of all batches.
SELECT
    institution_id,
    profile,
    batch_number,
    sealed_at AS recorded_at
FROM export_batch;

-- name: all_loans
-- The keys of all closed loans.
SELECT
    institution_id,
    loan_id,
    closed_at AS recorded_at
FROM loan_closed;

-- name: all_rejections
-- The keys of all rejected records.
SELECT
    topic,
    partition,
    record_offset,
    reason,
    recorded_at
FROM rejected;

-- name: all_actions
-- The keys of all decisions of people.
SELECT
    action_id,
    recorded_at
FROM operator_action;

-- name: differing_accounts
-- Accounts that are not as their last transaction has left them. The account's number is that of
-- this transaction, or one that a recovery has left out: then the last one before it counts. An
-- account that only a lost database had has no transaction, and nothing on it.
WITH left_out AS (
    SELECT DISTINCT
        kept.institution_id,
        kept.patron_id,
        kept.currency,
        number.sequence
    FROM recovery_account AS kept
    CROSS JOIN LATERAL (
        VALUES (kept.raised_to), (kept.announced_sequence)
    ) AS number (sequence)
),

followed AS (
    SELECT
        account.institution_id,
        account.patron_id,
        account.currency,
        account.sequence,
        account.active,
        account.transferred,
        CASE
            WHEN left_out.sequence IS NULL THEN account.sequence
            ELSE (
                SELECT max(earlier.sequence) FROM ledger_transaction AS earlier
                WHERE
                    earlier.institution_id = account.institution_id
                    AND earlier.patron_id = account.patron_id
                    AND earlier.currency = account.currency
                    AND earlier.sequence <= account.sequence
            )
        END AS last_sequence
    FROM account
    LEFT JOIN left_out
        ON
            account.institution_id = left_out.institution_id
            AND account.patron_id = left_out.patron_id
            AND account.currency = left_out.currency
            AND account.sequence = left_out.sequence
)

SELECT
    followed.institution_id,
    followed.patron_id,
    followed.currency,
    followed.sequence
FROM followed
LEFT JOIN ledger_transaction AS latest
    ON
        followed.institution_id = latest.institution_id
        AND followed.patron_id = latest.patron_id
        AND followed.currency = latest.currency
        AND followed.last_sequence = latest.sequence
WHERE
    followed.active <> coalesce(latest.active, 0)
    OR followed.transferred <> coalesce(latest.transferred, 0)
ORDER BY followed.institution_id, followed.patron_id, followed.currency
LIMIT $1;

-- name: waiting_after
-- The next row of the outbox for a topic, behind an id.
SELECT
    id,
    keys,
    payloads,
    headers
FROM outbox
WHERE topic = $1 AND id > $2
ORDER BY id
LIMIT 1;

-- name: quarantined_after
-- The next record of a topic in quarantine, behind a place.
SELECT
    outbox_id,
    place,
    record_key,
    payload,
    headers
FROM outbox_set_aside
WHERE topic = $1 AND (outbox_id, place) > ($2::bigint, $3::integer)
ORDER BY outbox_id, place
LIMIT 1;
