-- name: register
-- A row for each writer of a process that begins; it has not committed anything yet.
INSERT INTO process_commit (process_id, writer)
SELECT
    $1::text AS process_id,
    k.writer
FROM unnest($2::text []) AS k (writer)
ORDER BY k.writer
ON CONFLICT DO NOTHING;

-- name: unregister
-- The process ends in order: nobody will compare with its rows again.
DELETE FROM process_commit
WHERE process_id = $1;

-- name: forget_ended_processes
-- Rows of processes that were killed. One that is alive counts a commit every few seconds.
DELETE FROM process_commit
WHERE process_id IN (
    SELECT kept.process_id FROM process_commit AS kept
    GROUP BY kept.process_id
    HAVING max(kept.touched_at) < clock_timestamp() - make_interval(days => $1::integer)
);

-- name: count_commit
-- One more commit of this writer, by the transaction that does the work; and what the process
-- compares with its memory: the counts before it of all its writers, the database, the verdict.
-- The row is the writer's own, so nobody else waits for it.
WITH counted AS (
    UPDATE process_commit
    SET
        commits = commits + 1,
        touched_at = clock_timestamp()
    WHERE process_id = $1 AND writer = $2
    RETURNING commits
)

SELECT
    concat_ws(
        ' ', pg_postmaster_start_time()::text, to_regclass('process_commit')::oid::text,
        (
            SELECT oid::text FROM pg_database
            WHERE datname = current_database()
        )
    ) AS identity,
    (SELECT counted.commits FROM counted) AS commits,
    (
        SELECT json_object_agg(kept.writer, kept.commits)::text FROM process_commit AS kept
        WHERE kept.process_id = $1
    ) AS counts,
    (SELECT restore_verdict.detail FROM restore_verdict) AS verdict;

-- name: continuity
-- The same without a commit, for the check, and for whoever only reads before it sends. Another
-- server, another database or other tables than before have another identity. So has the same
-- server after a restart: it is a reason to ask again, and no finding.
SELECT
    concat_ws(
        ' ', pg_postmaster_start_time()::text, to_regclass('process_commit')::oid::text,
        (
            SELECT oid::text FROM pg_database
            WHERE datname = current_database()
        )
    ) AS identity,
    NULL::bigint AS commits,
    (
        SELECT json_object_agg(kept.writer, kept.commits)::text FROM process_commit AS kept
        WHERE kept.process_id = $1
    ) AS counts,
    (SELECT restore_verdict.detail FROM restore_verdict) AS verdict;

-- name: verdict
-- What was found, if anything was; at most one row.
SELECT
    finding,
    detail,
    evidence,
    found_by,
    found_at
FROM restore_verdict;

-- name: put_verdict
-- The first finding stays: several processes may come to it at the same time.
INSERT INTO restore_verdict (finding, detail, evidence, found_by)
VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (singleton) DO NOTHING;

-- name: clear_verdict
DELETE FROM restore_verdict;

-- name: kafka_home
-- The cluster and the prefix of the topics to which the offsets of this database belong.
SELECT
    cluster_id,
    topic_prefix
FROM kafka_home;

-- name: remember_kafka_home
-- At the first start: several instances may come to it at the same time.
INSERT INTO kafka_home (cluster_id, topic_prefix)
VALUES ($1, $2)
ON CONFLICT (singleton) DO NOTHING;

-- name: lock_kafka_home
-- One person at a time decides where the topics are.
SELECT singleton FROM kafka_home
FOR UPDATE;

-- name: move_kafka_home
-- A person says that the topics are elsewhere from now on.
UPDATE kafka_home
SET
    cluster_id = $1,
    topic_prefix = $2,
    since = clock_timestamp();

-- name: has_unsent_records
-- Does the outbox hold anything? Its rows have the full names of their topics.
SELECT EXISTS (SELECT FROM outbox) AS has_unsent_records; -- noqa: CP03,LT01,LT06

-- name: input_offsets
-- Where this database goes on in each input partition it has read.
SELECT
    topic,
    partition,
    next_offset
FROM consumer_offset
WHERE topic = any($1::text []);

-- name: output_offsets
-- The last acknowledged offset of each output partition this database has sent to.
SELECT
    topic,
    partition,
    acknowledged_offset
FROM output_offset
WHERE topic = any($1::text []);

-- name: is_new
-- Has nothing of the ledger been written here yet?
SELECT not(
    EXISTS (SELECT FROM account)
    OR EXISTS (SELECT FROM export_batch)
    OR EXISTS (SELECT FROM rejected)
    OR EXISTS (SELECT FROM consumer_offset
WHERE next_offset > 0)
) AS is_new;

-- name: accept_output
-- A person passes over what an output topic holds: it is not compared with this database.
INSERT INTO output_accepted (topic, partition, accepted_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET accepted_offset = greatest(output_accepted.accepted_offset, excluded.accepted_offset);

-- name: accepted_outputs
-- Up to where that was done.
SELECT
    topic,
    partition,
    accepted_offset
FROM output_accepted
WHERE topic = any($1::text []);

-- name: accept_output_end
-- And the database goes on behind it.
INSERT INTO output_offset (topic, partition, acknowledged_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET
        acknowledged_offset
        = greatest(output_offset.acknowledged_offset, excluded.acknowledged_offset);

-- name: known_transactions
-- Places of the balance-changed events that this ledger has published, recorded at that instant:
-- numbers and ids are made again after a restore, the instant is not.
SELECT k.place
FROM unnest(
    $1::integer [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::text [],
    $7::timestamptz []
) AS k (place, institution_id, patron_id, currency, sequence, transaction_id, recorded_at)
INNER JOIN ledger_transaction AS kept
    ON
        k.institution_id = kept.institution_id
        AND k.patron_id = kept.patron_id
        AND k.currency = kept.currency
        AND k.sequence = kept.sequence
        AND k.transaction_id = kept.transaction_id
        AND k.recorded_at = kept.recorded_at
UNION ALL
-- After a recovery the last event of an account was published again; it has no transaction.
SELECT k.place
FROM unnest(
    $1::integer [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::text [],
    $7::timestamptz []
) AS k (place, institution_id, patron_id, currency, sequence, transaction_id, recorded_at)
INNER JOIN recovery_account AS kept
    ON
        k.institution_id = kept.institution_id
        AND k.patron_id = kept.patron_id
        AND k.currency = kept.currency
        AND k.sequence = kept.announced_sequence
        AND k.transaction_id = kept.announced_id
        AND k.recorded_at = kept.announced_at;

-- name: known_batches
-- Places of the batches that were sealed here with those bytes and that file name.
SELECT k.place
FROM unnest(
    $1::integer [], $2::text [], $3::text [], $4::bigint [], $5::bytea [], $6::text []
) AS k (place, institution_id, profile, batch_number, sha256, file_name)
INNER JOIN export_batch AS kept
    ON
        k.institution_id = kept.institution_id
        AND k.profile = kept.profile
        AND k.batch_number = kept.batch_number
        AND k.sha256 = kept.sha256
        AND k.file_name = kept.file_name;

-- name: known_manifests
-- The same for manifests, by the hash of their bytes.
SELECT k.place
FROM unnest($1::integer [], $2::text [], $3::text [], $4::bigint [], $5::bytea [])
    AS k (place, institution_id, profile, batch_number, sha256)
INNER JOIN export_batch AS kept
    ON
        k.institution_id = kept.institution_id
        AND k.profile = kept.profile
        AND k.batch_number = kept.batch_number
        AND sha256(kept.manifest) = k.sha256;

-- name: known_loans
-- Places of the loans that were closed here at that instant, by that batch.
SELECT k.place
FROM unnest($1::integer [], $2::text [], $3::text [], $4::bigint [], $5::timestamptz [])
    AS k (place, institution_id, loan_id, batch_number, closed_at)
INNER JOIN loan_closed AS kept
    ON
        k.institution_id = kept.institution_id
        AND k.loan_id = kept.loan_id
        AND k.batch_number = kept.batch_number
        AND k.closed_at = kept.closed_at;

-- name: known_rejections
-- Places of the records that were rejected here for that reason. Of one whose place is another
-- record's by now, the row has `@` and a time behind the topic's name ('A' comes after '@').
SELECT DISTINCT k.place
FROM unnest($1::integer [], $2::text [], $3::integer [], $4::bigint [], $5::text [])
    AS k (place, topic, partition, record_offset, reason)
INNER JOIN rejected AS kept
    ON
        (
            k.topic = kept.topic
            OR (kept.topic > k.topic || '@' AND kept.topic < k.topic || 'A')
        )
        AND k.partition = kept.partition
        AND k.record_offset = kept.record_offset
        AND k.reason = kept.reason;

-- name: known_actions
-- Places of the decisions of people that were recorded here at that instant: numbers are given out
-- again after a restore.
SELECT k.place
FROM unnest($1::integer [], $2::bigint [], $3::text [], $4::timestamptz [])
    AS k (place, action_id, action, recorded_at)
INNER JOIN operator_action AS kept
    ON
        k.action_id = kept.action_id
        AND k.action = kept.action
        AND k.recorded_at = kept.recorded_at;

-- name: waiting_records
-- Which of these records are about to be sent (again)? Looked for where the relay works.
WITH oldest AS (
    SELECT
        topic,
        payloads,
        headers
    FROM outbox
    WHERE topic = any($1::text [])
    ORDER BY id
    LIMIT $2
)

SELECT DISTINCT k.place
FROM oldest
CROSS JOIN unnest(oldest.payloads, oldest.headers) AS waiting (payload, packed)
INNER JOIN unnest($3::integer [], $4::text [], $5::bytea []) AS k (place, topic, sha256)
    ON
        oldest.topic = k.topic
        AND sha256(coalesce(waiting.payload, '') || waiting.packed) = k.sha256;
