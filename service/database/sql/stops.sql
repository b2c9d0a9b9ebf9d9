-- name: stops_of_topics
-- The stops of these topics. The lock lets nobody end one of them before this commit: what has to
-- wait is put behind what waits already.
SELECT
    topic,
    institution_id
FROM intake_stop
WHERE topic = any($1::text [])
ORDER BY topic, institution_id
FOR KEY SHARE;

-- name: stops_made_meanwhile
-- The stops of these topics, without a lock: whoever finds one makes its commit again.
SELECT
    topic,
    institution_id
FROM intake_stop
WHERE topic = any($1::text []);

-- name: counts_of_topics
SELECT
    topic,
    institution_id,
    in_a_row,
    in_topic
FROM bad_count
WHERE topic = any($1::text []);

-- name: lock_counts
-- The same rows, before they are changed.
SELECT
    topic,
    institution_id,
    in_a_row,
    in_topic
FROM bad_count
WHERE topic = any($1::text [])
ORDER BY topic, institution_id
FOR UPDATE;

-- name: delete_counts
DELETE FROM bad_count
USING unnest($1::text [], $2::text []) AS k (topic, institution_id)
WHERE bad_count.topic = k.topic AND bad_count.institution_id = k.institution_id;

-- name: insert_missing_counts
-- Inserts rows before they are locked, so that two sessions that begin to count do not miss each
-- other.
INSERT INTO bad_count (topic, institution_id, in_a_row, in_topic)
SELECT
    k.topic,
    k.institution_id,
    0 AS in_a_row,
    0 AS in_topic
FROM unnest($1::text [], $2::text []) AS k (topic, institution_id)
ORDER BY k.topic COLLATE "C", k.institution_id COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: write_counts
-- The rows are there, and locked.
UPDATE bad_count
SET
    in_a_row = k.in_a_row,
    in_topic = k.in_topic
FROM unnest($1::text [], $2::text [], $3::bigint [], $4::bigint [])
    AS k (topic, institution_id, in_a_row, in_topic)
WHERE bad_count.topic = k.topic AND bad_count.institution_id = k.institution_id;

-- name: put_stop
-- A stop that was to end, because a person has resumed the topic, holds again.
INSERT INTO intake_stop (topic, institution_id, bad_records, reason)
VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, institution_id) DO UPDATE
    SET
        bad_records = excluded.bad_records,
        reason = excluded.reason,
        stopped_at = excluded.stopped_at,
        resumed_at = NULL;

-- name: lock_resumed
-- The stop of these records, locked against whoever else takes records of it. Nothing returned: it
-- has ended, or holds again.
SELECT topic
FROM intake_stop
WHERE topic = $1 AND institution_id = $2 AND resumed_at IS NOT NULL
FOR NO KEY UPDATE;

-- name: take_stopped
-- Removes records that are about to be decided in this commit, and returns those that were there.
DELETE FROM stopped_record
WHERE arrival = any($1::bigint [])
RETURNING arrival;

-- name: resumed
-- The stops that a person has ended, and of which records may wait.
SELECT
    topic,
    institution_id
FROM intake_stop
WHERE resumed_at IS NOT NULL
ORDER BY topic, institution_id;

-- name: next_stopped
-- The next page of what waits for a stop, in the order of arrival.
SELECT
    arrival, topic, partition, record_offset, record_key, record_value, record_headers, traceparent,
    record_timestamp_ms
FROM stopped_record
WHERE topic = $1 AND institution_id = $2
ORDER BY arrival
LIMIT $3;

-- name: lock_stop
-- Waits for the commits that put records behind it.
SELECT topic
FROM intake_stop
WHERE topic = $1 AND institution_id = $2
FOR UPDATE;

-- name: end_stop
-- Ends a stop of which nothing waits any more; nothing returned: something does.
DELETE FROM intake_stop
WHERE
    topic = $1
    AND institution_id = $2
    AND resumed_at IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM stopped_record AS waiting
        WHERE
            waiting.topic = intake_stop.topic
            AND waiting.institution_id = intake_stop.institution_id
    )
RETURNING topic;

-- name: resume_topic
-- Ends the stop of a topic for all institutions; its records are in Kafka.
DELETE FROM intake_stop
WHERE topic = $1 AND institution_id = ''
RETURNING topic;

-- name: resume_institution
-- What waits is taken from now on; nothing returned: the topic is not stopped for the institution,
-- or was resumed already.
UPDATE intake_stop
SET resumed_at = clock_timestamp()
WHERE topic = $1 AND institution_id = $2 AND resumed_at IS NULL
RETURNING topic;

-- name: allow_bad
-- The count begins anew: below 0 where a person has allowed more bad records.
INSERT INTO bad_count (topic, institution_id, in_a_row, in_topic)
VALUES ($1, $2, $3, 0)
ON CONFLICT (topic, institution_id) DO UPDATE
    SET
        in_a_row = excluded.in_a_row,
        in_topic = 0;

-- name: stops
-- All of them, with what waits: there are few.
SELECT
    stop.topic,
    stop.institution_id,
    stop.bad_records,
    stop.reason,
    stop.stopped_at,
    stop.resumed_at,
    (
        SELECT count(*) FROM stopped_record AS waiting
        WHERE waiting.topic = stop.topic AND waiting.institution_id = stop.institution_id
    ) AS records
FROM intake_stop AS stop
ORDER BY stop.topic, stop.institution_id;

-- name: stopped_records
-- What waits, in the order of arrival; every filter may be null.
SELECT
    institution_id,
    'intake_stopped' AS wait,
    NULL::text AS error,
    topic, partition, record_offset, record_key, record_value, record_headers, traceparent,
    record_timestamp_ms,
    recorded_at,
    extract(EPOCH FROM clock_timestamp() - recorded_at)::bigint AS age_seconds
FROM stopped_record
WHERE
    ($1::text IS NULL OR institution_id = $1)
    AND ($2::bigint IS NULL OR recorded_at <= clock_timestamp() - $2 * interval '1 second')
    AND ($3::text IS NULL OR topic = $3)
    AND ($4::integer IS NULL OR partition = $4)
    AND ($5::bigint IS NULL OR record_offset = $5)
ORDER BY arrival
LIMIT $6;

-- name: delete_stopped
-- In the commit that rejects it; nothing returned: it was taken meanwhile.
DELETE FROM stopped_record
WHERE
    arrival = (
        SELECT min(waiting.arrival) FROM stopped_record AS waiting
        WHERE waiting.topic = $1 AND waiting.partition = $2 AND waiting.record_offset = $3
    )
RETURNING arrival;
