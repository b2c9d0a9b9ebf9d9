-- name: put_action
-- What a person did and why, in the commit that did it.
INSERT INTO operator_action (action, institution_id, subject, reason, operator, outcome)
VALUES ($1, $2, $3::jsonb, $4, $5, $6)
RETURNING action_id, recorded_at;

-- name: actions_on
-- Decisions about one subject, oldest first.
SELECT
    action,
    subject,
    reason,
    operator,
    outcome,
    recorded_at
FROM operator_action
WHERE subject @> $1::jsonb
ORDER BY action_id;

-- name: parked
-- What waits under its identity, oldest first, with the amount of a payment and what is kept of
-- sums without a line; every filter may be null. A sum that is `unallocated` is stored otherwise
-- (encodings.py).
SELECT
    parked.institution_id,
    parked.record,
    parked.source,
    parked.id,
    CASE
        WHEN failure.error IS NOT NULL THEN 'internal_error'
        WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
        ELSE parked.wait
    END AS wait,
    parked.fine_id, parked.original, parked.bursar_transaction_id, failure.error, parked.topic,
    parked.partition, parked.record_offset, parked.record_key,
    coalesce(kept.record_value, parked.record_value) AS record_value,
    coalesce(kept.record_headers, parked.record_headers) AS record_headers,
    parked.traceparent, parked.recorded_at,
    extract(EPOCH FROM clock_timestamp() - parked.recorded_at)::bigint AS age_seconds,
    lump.patron_id, lump.rule,
    coalesce(lump.currency, paid.currency) AS currency,
    paid.amount
FROM parked
LEFT JOIN parked_failure AS failure USING (institution_id, record, source, id)
LEFT JOIN parked_original AS kept USING (institution_id, record, source, id)
LEFT JOIN LATERAL (
    SELECT
        kept_sum.patron_id,
        kept_sum.currency,
        kept_sum.rule
    FROM payment_sum AS kept_sum
    WHERE
        parked.record = 'payment'
        AND parked.fine_id IS NULL
        AND kept_sum.institution_id = parked.institution_id
        AND kept_sum.source = parked.source
        AND kept_sum.payment_id = parked.id
    OFFSET 0
) AS lump ON TRUE
LEFT JOIN LATERAL (
    SELECT
        payment.amount,
        payment.currency
    FROM payment
    WHERE
        parked.record = 'payment'
        AND payment.institution_id = parked.institution_id
        AND payment.source = parked.source
        AND payment.payment_id = parked.id
    OFFSET 0
) AS paid ON TRUE
WHERE
    ($1::text IS NULL OR parked.institution_id = $1)
    AND (
        $2::text IS NULL
        OR CASE
            WHEN failure.error IS NOT NULL THEN 'internal_error'
            WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
            ELSE parked.wait
        END = $2
    )
    AND ($3::bigint IS NULL OR parked.recorded_at <= clock_timestamp() - $3 * interval '1 second')
    AND ($4::text IS NULL OR parked.source = $4)
    AND ($5::text IS NULL OR parked.id = $5)
    AND ($6::text IS NULL OR parked.record = $6)
    AND ($7::text IS NULL OR parked.topic = $7)
    AND ($8::integer IS NULL OR parked.partition = $8)
    AND ($9::bigint IS NULL OR parked.record_offset = $9)
    AND ($11::text IS NULL OR parked.fine_id = $11)
ORDER BY parked.arrival
LIMIT $10;

-- name: parked_as
-- The bytes of what waits under an identity, as they came.
SELECT
    parked.topic,
    parked.partition,
    parked.record_offset,
    parked.record_key,
    coalesce(kept.record_value, parked.record_value) AS record_value,
    coalesce(kept.record_headers, parked.record_headers) AS record_headers,
    parked.traceparent
FROM parked
LEFT JOIN parked_original AS kept USING (institution_id, record, source, id)
WHERE
    parked.record = $1
    AND parked.institution_id = $2
    AND parked.source = $3
    AND parked.id = $4;

-- name: parked_errors
-- What the database refused; the bytes alone say whose record it is.
SELECT
    institution_id,
    NULL::text AS record,
    NULL::text AS source,
    NULL::text AS id,
    'internal_error' AS wait,
    NULL::text AS fine_id,
    NULL::text AS original,
    NULL::text AS bursar_transaction_id,
    error, topic, partition, record_offset, record_key, record_value, record_headers, traceparent,
    -- Earlier releases have not kept the record's timestamp.
    coalesce(record_timestamp_ms, (extract(EPOCH FROM recorded_at) * 1000)::bigint)
        AS record_timestamp_ms,
    recorded_at,
    extract(EPOCH FROM clock_timestamp() - recorded_at)::bigint AS age_seconds
FROM parked_error
WHERE
    ($1::text IS NULL OR institution_id = $1)
    AND ($2::bigint IS NULL OR recorded_at <= clock_timestamp() - $2 * interval '1 second')
    AND ($3::text IS NULL OR topic = $3)
    AND ($4::integer IS NULL OR partition = $4)
    AND ($5::bigint IS NULL OR record_offset = $5)
ORDER BY recorded_at, topic, partition, record_offset
LIMIT $6;

-- name: delete_parked_error
-- In the commit that applies or rejects it; nothing returned: somebody else was faster.
DELETE FROM parked_error
WHERE topic = $1 AND partition = $2 AND record_offset = $3
RETURNING topic;

-- name: delete_parked_failure
-- A person has it tried again.
DELETE FROM parked_failure
WHERE institution_id = $1 AND record = $2 AND source = $3 AND id = $4;

-- name: discard_failed
-- Its identity stays known as that of a rejected record; nothing returned: it is not parked.
WITH gone AS (
    DELETE FROM parked
    WHERE institution_id = $1 AND record = $2 AND source = $3 AND id = $4
    RETURNING institution_id, record, source, id
),

of_payment AS (
    UPDATE payment
    SET
        state = 'rejected',
        reason = 'discarded'
    FROM gone
    WHERE
        gone.record = 'payment'
        AND payment.institution_id = gone.institution_id
        AND payment.source = gone.source
        AND payment.payment_id = gone.id
),

of_change AS (
    UPDATE fine_change
    SET
        state = 'rejected',
        reason = 'discarded'
    FROM gone
    WHERE
        gone.record = 'change'
        AND fine_change.institution_id = gone.institution_id
        AND fine_change.source = gone.source
        AND fine_change.change_id = gone.id
)

SELECT gone.id
FROM gone;

-- name: parked_overdue
-- For the alarm: how many wait longer than so many seconds.
SELECT count(*)::bigint AS overdue
FROM (
    SELECT recorded_at FROM parked
    UNION ALL
    SELECT recorded_at FROM parked_error
    UNION ALL
    SELECT recorded_at FROM stopped_record
) AS waiting
WHERE recorded_at <= clock_timestamp() - $1::bigint * interval '1 second';

-- name: rejected
-- Without their bytes, oldest first; every filter may be null.
SELECT
    topic, partition, record_offset, institution_id, reason, detail, state,
    octet_length(record_value)::bigint AS size_bytes,
    floor(extract(EPOCH FROM original_removed_at - recorded_at) / 86400)::bigint
        AS removed_after_days,
    recorded_at
FROM rejected
WHERE
    ($1::text IS NULL OR institution_id = $1)
    AND ($2::text IS NULL OR reason = $2)
    AND (
        $3::text IS NULL
        OR topic = $3
        -- Of a topic that was made anew since, the time is behind the name.
        OR split_part(topic, '@', 1) = $3
        OR right(split_part(topic, '@', 1), length($3) + 1) = '.' || $3
    )
    AND ($4::text IS NULL OR state = $4)
    AND ($5::integer IS NULL OR partition = $5)
    AND ($6::bigint IS NULL OR record_offset = $6)
ORDER BY recorded_at, topic, partition, record_offset, reason
LIMIT $7;

-- name: rejected_naming
-- Records that may name what is looked for: its bytes, as JSON can write them, lie in the value. Of
-- a record whose bytes were removed the ids are kept, which are looked for as they are ($3).
SELECT
    topic, partition, record_offset, institution_id, reason, detail, state,
    octet_length(record_value)::bigint AS size_bytes,
    floor(extract(EPOCH FROM original_removed_at - recorded_at) / 86400)::bigint
        AS removed_after_days,
    recorded_at,
    record_value,
    named
FROM rejected
WHERE
    institution_id = $1
    AND (
        EXISTS (
            SELECT FROM unnest($2::bytea []) AS byte_pattern (bytes)
            WHERE position(byte_pattern.bytes IN rejected.record_value) > 0
        )
        OR named ->> 'id' = any($3::text [])
        OR named ->> 'fine_id' = any($3::text [])
        OR named -> 'lines' ?| $3::text []
    )
ORDER BY recorded_at, topic, partition, record_offset, reason;

-- name: rejected_values
-- The bytes of a page of them, from which is read who they say they are, or what was read before
-- the bytes were removed.
SELECT
    r.topic,
    r.partition,
    r.record_offset,
    r.reason,
    r.record_value,
    r.named
FROM unnest($1::text [], $2::integer [], $3::bigint [], $4::text [])
    AS k (topic, partition, record_offset, reason)
INNER JOIN rejected AS r USING (topic, partition, record_offset, reason);

-- name: rejected_record
-- One rejected record as it came, unless its bytes were removed; earlier releases have not kept its
-- timestamp.
SELECT
    topic,
    partition,
    record_offset,
    record_key,
    record_value,
    record_headers,
    NULL::text AS traceparent,
    coalesce(record_timestamp_ms, (extract(EPOCH FROM recorded_at) * 1000)::bigint)
        AS record_timestamp_ms
FROM rejected
WHERE
    topic = $1
    AND partition = $2
    AND record_offset = $3
    AND reason = $4
    AND original_removed_at IS NULL;

-- name: mark_rejected
-- Nothing returned: somebody else was faster.
UPDATE rejected
SET state = $5
WHERE
    topic = $1
    AND partition = $2
    AND record_offset = $3
    AND reason = $4
    AND state = any($6::text [])
RETURNING state;

-- name: rejected_open
-- For the metrics: what nobody has looked after yet.
SELECT
    reason,
    count(*)::bigint AS records
FROM rejected
WHERE state = 'open'
GROUP BY reason;

-- name: held
-- Open fines that no profile exports as they are, whoever asks. They are few: OFFSET 0 keeps the
-- planner from reading all amendments for them.
SELECT
    fine.institution_id, fine.fine_id, fine.patron_id, fine.currency, fine.type, fine.amount,
    fine.owner, fine.created_at, fine.comment, fine.loan_id, fine.item, fine.credit_of,
    fine.exportable, fine.digest, fine.status, fine.considered, fine.remaining, fine.outstanding,
    fine.line, fine.terms_id, fine.payments_live, fine.status_code, fine.refused_reason,
    fine.released, fine.changed_at, amendment.amount_created, amendment.adjusted_at,
    amendment.disputed_at, amendment.unconfirmed
FROM fine
LEFT JOIN LATERAL (
    SELECT
        a.amount_created,
        a.adjusted_at,
        a.disputed_at,
        a.unconfirmed
    FROM fine_amendment AS a
    WHERE a.institution_id = fine.institution_id AND a.fine_id = fine.fine_id
    OFFSET 0
) AS amendment ON TRUE
WHERE
    fine.status IN ('Active', 'In dispute')
    AND (
        fine.status = 'In dispute'
        OR fine.refused_reason IS NOT NULL
        OR NOT (fine.exportable OR fine.released)
    )
    AND ($1::text IS NULL OR fine.institution_id = $1)
ORDER BY fine.institution_id, fine.fine_id;

-- name: failed_changes_of_fine
-- The changes because of which a fine is not exported, for whoever has to decide about them.
SELECT
    parked.source,
    parked.id,
    failure.error,
    parked.topic,
    parked.partition,
    parked.record_offset
FROM parked
INNER JOIN parked_failure AS failure USING (institution_id, record, source, id)
WHERE
    parked.institution_id = $1
    AND parked.fine_id = $2
    AND parked.record = 'change'
UNION ALL
SELECT
    NULL AS source,
    NULL AS id,
    parked_error.error,
    parked_error.topic,
    parked_error.partition,
    parked_error.record_offset
FROM parked_error
WHERE parked_error.institution_id = $1 AND parked_error.fine_id = $2
UNION ALL
SELECT
    NULL AS source,
    NULL AS id,
    'intake_stopped' AS error,
    waiting.topic,
    waiting.partition,
    waiting.record_offset
FROM stopped_record AS waiting
WHERE waiting.institution_id = $1 AND waiting.fine_id = $2
ORDER BY topic, partition, record_offset;

-- name: held_counted
-- For the metrics, by the reason that comes first in a run. Fines are looked up by their keys
-- alone: with their status as a condition, and without statistics, the index of open fines would be
-- taken, which has the patron before the fine, and be read from end to end for each of them.
SELECT
    CASE
        WHEN status = 'In dispute' THEN 'in_dispute'
        WHEN NOT (exportable OR released) THEN 'not_exportable'
        ELSE 'refused'
    END AS reason,
    count(*)::bigint AS fines
FROM fine
WHERE
    status IN ('Active', 'In dispute')
    AND (status = 'In dispute' OR refused_reason IS NOT NULL OR NOT (exportable OR released))
GROUP BY reason
UNION ALL
SELECT
    'credit_unconfirmed' AS reason,
    count(*)::bigint AS fines
FROM fine_amendment AS amendment
CROSS JOIN LATERAL (
    SELECT
        fine.status,
        fine.refused_reason
    FROM fine
    WHERE
        fine.institution_id = amendment.institution_id
        AND fine.fine_id = amendment.fine_id
    OFFSET 0
) AS known
WHERE amendment.unconfirmed AND known.status = 'Active' AND known.refused_reason IS NULL
UNION ALL
SELECT
    'adopted_line' AS reason,
    count(DISTINCT (line.institution_id, line.fine_id))::bigint AS fines -- noqa
FROM adopted_line AS line
CROSS JOIN LATERAL (
    SELECT fine.status FROM fine
    WHERE
        fine.institution_id = line.institution_id
        AND fine.fine_id = line.fine_id
    OFFSET 0
) AS known
WHERE line.state = 'waiting' AND known.status IN ('Active', 'In dispute');

-- name: causes_of_holding
-- The latest transaction of the kind that is asked for of each fine: what disputed it, or refused
-- its line.
SELECT
    k.institution_id,
    k.fine_id,
    k.kind,
    latest.occurred_at,
    latest.cause ->> 'source' AS source,
    latest.cause ->> 'change_id' AS change_id,
    latest.cause ->> 'profile' AS profile,
    latest.cause ->> 'batch_number' AS batch_number,
    latest.cause ->> 'bursar_transaction_id' AS bursar_transaction_id
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, fine_id, kind)
CROSS JOIN LATERAL (
    SELECT
        occurred_at,
        cause
    FROM ledger_transaction AS t
    WHERE
        t.institution_id = k.institution_id
        AND t.fine_id = k.fine_id
        AND t.kind = k.kind
    ORDER BY t.sequence DESC
    LIMIT 1
) AS latest;

-- name: fine
-- One fine as it is now.
SELECT
    fine.institution_id, fine.fine_id, fine.patron_id, fine.currency, fine.type, fine.amount,
    fine.owner, fine.created_at, fine.comment, fine.loan_id, fine.item, fine.credit_of,
    fine.exportable, fine.digest, fine.status, fine.considered, fine.remaining, fine.outstanding,
    fine.line, fine.terms_id, fine.payments_live, fine.status_code, fine.refused_reason,
    fine.released, fine.changed_at, amendment.amount_created, amendment.adjusted_at,
    amendment.disputed_at, amendment.unconfirmed
FROM fine
LEFT JOIN fine_amendment AS amendment USING (institution_id, fine_id)
WHERE fine.institution_id = $1 AND fine.fine_id = $2;

-- name: known_words
-- By option of a profile: what fines and patrons of each institution had so far. Of each table no
-- more than $1 rows are read, whichever come first; NULL reads all of them.
WITH fines AS (
    SELECT
        institution_id,
        type,
        currency,
        owner ->> 'library_code' AS library_code
    FROM fine
    LIMIT $1::bigint
),

patrons AS MATERIALIZED (
    SELECT
        institution_id,
        user_group,
        identifiers
    FROM patron
    LIMIT $1::bigint
)

SELECT
    institution_id,
    CASE
        WHEN grouping(type) = 0 THEN 'fine_types'
        WHEN grouping(currency) = 0 THEN 'currency'
        ELSE 'owners'
    END AS option,
    coalesce(type, currency, library_code) AS word
FROM fines
GROUP BY
    GROUPING SETS (
        (institution_id, type), (institution_id, currency), (institution_id, library_code)
    )
HAVING coalesce(type, currency, library_code) IS NOT NULL
UNION ALL
SELECT
    institution_id,
    'user_groups' AS option,
    user_group AS word
FROM patrons
GROUP BY institution_id, user_group
UNION ALL
SELECT
    patrons.institution_id,
    'match' AS option,
    identifier.pair ->> 0 AS word
FROM patrons
CROSS JOIN jsonb_array_elements(patrons.identifiers) AS identifier (pair)
GROUP BY patrons.institution_id, identifier.pair ->> 0;
