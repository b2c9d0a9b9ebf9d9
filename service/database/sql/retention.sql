-- What the purge removes, by kind. $1 is the retention in days, $2 the largest number of rows.
-- `now()` and not `clock_timestamp()`: an index cannot be searched for a value that changes during
-- the statement. Whoever is at a row has it locked; such rows are left for the next purge. Rows are
-- changed by their place (ctid), so that the plan does not depend on statistics: a row that was
-- changed meanwhile has another place and is left as well. Where more decides than the age, views
-- named `purgeable_...` (migration 0019) say what may go, with its place and since when.

-- name: by_index
-- For the rest of the transaction: pages are found by the index of their age alone. Right after a
-- restore there are no statistics, and the planner would rather sort all rows for each page.
SELECT
    set_config('enable_seqscan', 'off', TRUE) AS seqscan,
    set_config('enable_bitmapscan', 'off', TRUE) AS bitmapscan,
    set_config('enable_sort', 'off', TRUE) AS sort;

-- name: remove_documents
WITH removed AS (
    UPDATE export_batch
    SET
        document = '',
        document_removed_at = clock_timestamp()
    WHERE
        ctid = any(
            array(
                SELECT place FROM purgeable_batch
                WHERE since < now() - $1::integer * interval '1 day'
                ORDER BY since
                LIMIT $2
                FOR NO KEY UPDATE SKIP LOCKED
            )
        )
    RETURNING TRUE
)

SELECT count(*)::bigint AS removed FROM removed;

-- name: count_documents
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM purgeable_batch
    WHERE since < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: old_originals
-- A page of rejected records that still have their bytes, the oldest first.
SELECT
    topic,
    partition,
    record_offset,
    reason,
    record_value
FROM rejected
WHERE
    original_removed_at IS NULL
    AND NOT starts_with(topic || '@', 'import@')
    AND recorded_at < now() - $1::integer * interval '1 day'
ORDER BY recorded_at
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED;

-- name: old_originals_of_imports
-- The same of rejected lines of imported files.
SELECT
    topic,
    partition,
    record_offset,
    reason,
    record_value
FROM rejected
WHERE
    original_removed_at IS NULL
    AND starts_with(topic || '@', 'import@')
    AND recorded_at < now() - $1::integer * interval '1 day'
ORDER BY recorded_at
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED;

-- name: remove_originals
-- Keeps the digest and the names ($5) of what is removed. Headers are JSON: none of them.
UPDATE rejected
SET
    record_key = NULL,
    record_value = NULL,
    record_headers = '[]',
    original_removed_at = clock_timestamp(),
    original_sha256
    = sha256(coalesce(rejected.record_key, '') || '\x00' || coalesce(rejected.record_value, '')),
    named = k.named::jsonb
FROM unnest($1::text [], $2::integer [], $3::bigint [], $4::text [], $5::text [])
    AS k (topic, partition, record_offset, reason, named)
WHERE
    rejected.topic = k.topic
    AND rejected.partition = k.partition
    AND rejected.record_offset = k.record_offset
    AND rejected.reason = k.reason;

-- name: count_originals
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM rejected
    WHERE
        original_removed_at IS NULL
        AND NOT starts_with(topic || '@', 'import@')
        AND recorded_at < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: count_originals_of_imports
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM rejected
    WHERE
        original_removed_at IS NULL
        AND starts_with(topic || '@', 'import@')
        AND recorded_at < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: old_parked_errors
-- A page of records on which the program failed, behind the place ($2 .. $5), the oldest first.
-- Earlier releases have not kept the timestamp of a record.
SELECT
    topic, partition, record_offset, record_key, record_value, record_headers, traceparent,
    coalesce(record_timestamp_ms, (extract(EPOCH FROM recorded_at) * 1000)::bigint)
        AS record_timestamp_ms,
    recorded_at
FROM parked_error
WHERE
    recorded_at < now() - $1::integer * interval '1 day'
    AND (recorded_at, topic, partition, record_offset) > ($2, $3, $4, $5)
ORDER BY recorded_at, topic, partition, record_offset
LIMIT $6;

-- name: remove_parked_errors
WITH removed AS (
    DELETE FROM parked_error
    USING unnest($1::text [], $2::integer [], $3::bigint [])
        AS k (topic, partition, record_offset)
    WHERE
        parked_error.topic = k.topic
        AND parked_error.partition = k.partition
        AND parked_error.record_offset = k.record_offset
    RETURNING TRUE
)

SELECT count(*)::bigint AS removed FROM removed;

-- name: remove_releases
WITH removed AS (
    DELETE FROM quarantine_release
    WHERE
        ctid = any(
            array(
                SELECT place FROM purgeable_release
                WHERE since < now() - $1::integer * interval '1 day'
                ORDER BY since
                LIMIT $2
                FOR UPDATE SKIP LOCKED
            )
        )
    RETURNING TRUE
)

SELECT count(*)::bigint AS removed FROM removed;

-- name: count_releases
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM purgeable_release
    WHERE since < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: remove_runs
WITH removed AS (
    DELETE FROM export_run
    WHERE
        ctid = any(
            array(
                SELECT place FROM purgeable_run
                WHERE since < now() - $1::integer * interval '1 day'
                ORDER BY since
                LIMIT $2
                FOR UPDATE SKIP LOCKED
            )
        )
    RETURNING TRUE
)

SELECT count(*)::bigint AS removed FROM removed;

-- name: count_runs
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM purgeable_run
    WHERE since < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: remove_operator_texts
-- Who decided and why; every reader shows the text that stands there instead.
WITH removed AS (
    UPDATE operator_action
    SET
        reason
        = 'removed after '
        || floor(extract(EPOCH FROM now() - operator_action.recorded_at) / 86400)::bigint
        || ' days',
        operator = 'removed',
        texts_removed_at = clock_timestamp()
    WHERE
        ctid = any(
            array(
                SELECT kept.ctid FROM operator_action AS kept
                WHERE
                    kept.texts_removed_at IS NULL
                    AND kept.recorded_at < now() - $1::integer * interval '1 day'
                ORDER BY kept.recorded_at
                LIMIT $2
                FOR NO KEY UPDATE SKIP LOCKED
            )
        )
    RETURNING TRUE
)

SELECT count(*)::bigint AS removed FROM removed;

-- name: count_operator_texts
SELECT count(*)::bigint AS due
FROM (
    SELECT FROM operator_action
    WHERE
        texts_removed_at IS NULL
        AND recorded_at < now() - $1::integer * interval '1 day'
    LIMIT $2
) AS counted;

-- name: oldest_kept
-- The age in seconds of the oldest row of each kind that still has what a purge would remove; 0 if
-- there is none. An index has each minimum.
SELECT
    kept.kind,
    coalesce(greatest(extract(EPOCH FROM clock_timestamp() - kept.since), 0), 0)::bigint
        AS age_seconds
FROM (
    SELECT
        'batch' AS kind,
        (
            SELECT min(export_batch.sealed_at) FROM export_batch
            WHERE export_batch.document_removed_at IS NULL
        ) AS since
    UNION ALL
    SELECT
        'rejected' AS kind,
        (
            SELECT min(rejected.recorded_at) FROM rejected
            WHERE
                rejected.original_removed_at IS NULL
                AND NOT starts_with(rejected.topic || '@', 'import@')
        ) AS since
    UNION ALL
    SELECT
        'import' AS kind,
        (
            SELECT min(rejected.recorded_at) FROM rejected
            WHERE
                rejected.original_removed_at IS NULL
                AND starts_with(rejected.topic || '@', 'import@')
        ) AS since
    UNION ALL
    SELECT
        'parked_error' AS kind,
        (SELECT min(parked_error.recorded_at) FROM parked_error) AS since
    UNION ALL
    SELECT
        'quarantine' AS kind,
        (SELECT min(quarantine_release.released_at) FROM quarantine_release) AS since
    UNION ALL
    SELECT
        'run' AS kind,
        (
            SELECT min(export_run.cutoff) FROM export_run
            WHERE export_run.state = 'closed'
        ) AS since
    UNION ALL
    SELECT
        'operator_action' AS kind,
        (
            SELECT min(operator_action.recorded_at) FROM operator_action
            WHERE operator_action.texts_removed_at IS NULL
        ) AS since
) AS kept;
