-- name: quarantined
-- The records in quarantine without their values, oldest first. Each filter may be NULL.
SELECT
    outbox_id,
    place,
    topic,
    reason,
    record_key,
    headers,
    (
        coalesce(octet_length(record_key), 0)
        + coalesce(octet_length(payload), 0)
        + octet_length(headers)
    )::bigint AS size_bytes,
    recorded_at,
    extract(EPOCH FROM clock_timestamp() - recorded_at)::bigint AS age_seconds
FROM outbox_set_aside
WHERE
    ($1::bigint IS NULL OR outbox_id = $1)
    AND ($2::integer IS NULL OR place = $2)
    AND ($3::text IS NULL OR topic = $3 OR right(topic, length($3) + 1) = '.' || $3)
ORDER BY outbox_id, place
LIMIT $4;

-- name: quarantined_value
-- The value of a record in quarantine, which may have personal data.
SELECT payload
FROM outbox_set_aside
WHERE outbox_id = $1 AND place = $2;

-- name: quarantined_count
-- The number of records in quarantine, for `check`.
SELECT count(*)::bigint AS records
FROM outbox_set_aside;

-- name: is_being_sent
-- Whether the row of the outbox from which a record came is still there: then the record has to
-- stay, because the relay could send it from that row as well. A row that was deleted does not come
-- back, so nothing is locked. No row is returned if the record is not in quarantine.
SELECT outbox.id IS NOT NULL AS is_being_sent
FROM outbox_set_aside AS quarantined
LEFT JOIN outbox ON quarantined.outbox_id = outbox.id
WHERE quarantined.outbox_id = $1 AND quarantined.place = $2;

-- name: release
-- Moves a record from the quarantine to the outbox, as it was, in a row of its own, and returns the
-- id of that row. The row is as old as the release, because the age of the outbox raises an alarm.
-- If two sessions release a record, the second one waits for the first and returns no row.
WITH released AS (
    DELETE FROM outbox_set_aside
    WHERE outbox_id = $1 AND place = $2
    RETURNING topic, record_key, payload, headers
),

queued AS (
    INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
    SELECT
        topic,
        ARRAY[record_key] AS keys,
        ARRAY[payload] AS payloads,
        ARRAY[headers] AS headers,
        clock_timestamp() AS recorded_at
    FROM released
    RETURNING id
)

INSERT INTO quarantine_release (outbox_id, place, queued_as)
SELECT
    $1::bigint AS outbox_id,
    $2::integer AS place,
    id
FROM queued
RETURNING queued_as;

-- name: released_as
-- The row of the outbox with the copy that was sent in place of a record that was in quarantine.
SELECT queued_as
FROM quarantine_release
WHERE outbox_id = $1 AND place = $2;

-- name: supersede_waiting
-- Notes that a newer copy takes the place of those that wait in the outbox, so that these do not go
-- into quarantine if the broker does not accept them. They are locked: a copy that the relay is
-- just moving is in quarantine when the lock is granted.
INSERT INTO quarantine_release (outbox_id, place, queued_as)
SELECT
    waiting.id AS outbox_id,
    0 AS place,
    $3::bigint AS queued_as
FROM (
    SELECT id
    FROM outbox
    WHERE
        topic = $1
        AND cardinality(headers) = 1
        AND headers[1] = $2::bytea
        AND id < $3
    ORDER BY id
    FOR UPDATE
) AS waiting
ON CONFLICT (outbox_id, place) DO UPDATE
    SET queued_as = excluded.queued_as;

-- name: supersede_quarantined
-- Removes earlier copies of a record of a batch from the quarantine, because a newer copy is
-- queued.
WITH superseded AS (
    DELETE FROM outbox_set_aside
    WHERE headers = $1
    RETURNING outbox_id, place
)

INSERT INTO quarantine_release (outbox_id, place, queued_as)
SELECT
    outbox_id,
    place,
    $2::bigint AS queued_as
FROM superseded;

-- name: batch_state
-- The state of a batch as people see it.
SELECT state
FROM report_batch
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3;

-- name: batch_queued_again
-- Notes that a batch is sealed and not published until the broker has the copy in row $5 of the
-- outbox.
UPDATE export_batch
SET
    outbox_id = CASE WHEN document_headers = $4 THEN $5 ELSE outbox_id END,
    manifest_outbox_id
    = CASE WHEN manifest_headers = $4 THEN $5 ELSE manifest_outbox_id END
WHERE
    institution_id = $1
    AND profile = $2
    AND batch_number = $3
    AND $4 IN (document_headers, manifest_headers);
