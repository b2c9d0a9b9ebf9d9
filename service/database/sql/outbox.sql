-- name: put
-- One row holds many records of one topic, in the order they are to be sent.
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
VALUES ($1, $2, $3, $4, $5);

-- name: last_put
-- The id of the row that this session put last.
SELECT currval(pg_get_serial_sequence('outbox', 'id')) AS id;

-- name: page
-- The oldest rows, up to a number of bytes but at least one row; by id, for per account that is the
-- ledger's order. Quarantined records are not sent. Blocked topics keep their rows for later.
WITH candidates AS (
    SELECT
        id,
        CASE WHEN
            pg_column_compression(payloads) IS NULL
            THEN pg_column_size(keys) + pg_column_size(payloads) + pg_column_size(headers)
            -- Its true size is not told: a full row at least.
            ELSE greatest(1024 * 1024, 10 * pg_column_size(payloads))
        END AS bytes
    FROM outbox
    WHERE topic <> all($3::text [])
    ORDER BY id
    LIMIT $1
),

measured AS (
    SELECT
        id,
        sum(bytes) OVER (ORDER BY id) AS bytes_with,
        row_number() OVER (ORDER BY id) AS place
    FROM candidates
)

SELECT
    outbox.id,
    outbox.topic,
    outbox.keys,
    outbox.payloads,
    outbox.headers,
    outbox.recorded_at,
    array(
        SELECT aside.place FROM outbox_set_aside AS aside
        WHERE aside.outbox_id = outbox.id
    ) AS quarantined
FROM outbox
INNER JOIN measured ON outbox.id = measured.id
WHERE measured.bytes_with <= $2 OR measured.place = 1
ORDER BY outbox.id;

-- name: delete
-- Acknowledged by the broker, every record of them.
DELETE FROM outbox
WHERE id = any($1::bigint []);

-- name: acknowledge
-- What this database has sent, for the restore check; never goes back.
INSERT INTO output_offset (topic, partition, acknowledged_offset)
SELECT
    k.topic,
    k.partition,
    k.acknowledged_offset
FROM unnest($1::text [], $2::integer [], $3::bigint [])
    AS k (topic, partition, acknowledged_offset)
ORDER BY k.topic COLLATE "C", k.partition
ON CONFLICT (topic, partition) DO UPDATE
    SET
        acknowledged_offset
        = greatest(output_offset.acknowledged_offset, excluded.acknowledged_offset);

-- name: put_in_quarantine
-- A record that the broker refuses for its own sake leaves the way free for the others.
INSERT INTO outbox_set_aside (
    outbox_id, place, topic, record_key, payload, headers, reason, recorded_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: waiting
-- How much waits for the broker, counted up to 100 000 rows, and since when, by the database's
-- clock. The first row by id is the oldest one, give or take what was committed at the same time.
WITH counted AS (
    SELECT id
    FROM outbox
    LIMIT 100000 -- noqa: AM09
),

oldest AS (
    SELECT extract(EPOCH FROM clock_timestamp() - recorded_at)::bigint AS age_seconds
    FROM outbox
    ORDER BY id
    LIMIT 1
)

SELECT
    count(*) AS rows_waiting,
    coalesce((SELECT oldest.age_seconds FROM oldest), 0) AS oldest_age_seconds,
    (SELECT count(*) FROM outbox_set_aside) AS quarantined
FROM counted;

-- name: take_lease
-- Free, run out, or ours: taken under the next fence number. The database's clock alone counts.
-- None can end later than one that is given now. A lease that does was given by a clock that was
-- ahead, and counts as run out: nobody would renew it, or take it, until that time has come.
INSERT INTO relay_lease AS kept (name, holder, fence, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3::integer))
ON CONFLICT (name) DO UPDATE
    SET
        holder = excluded.holder,
        fence = kept.fence + 1,
        expires_at = excluded.expires_at
    WHERE
        kept.expires_at <= clock_timestamp()
        -- Longer than any setting allows: it was given by a clock that was ahead.
        OR kept.expires_at > clock_timestamp() + interval '15 minutes'
        OR kept.holder = excluded.holder
RETURNING fence;

-- name: renew_lease
-- Also after it ran out, as long as nobody else took it: the fence number tells.
UPDATE relay_lease
SET expires_at = clock_timestamp() + make_interval(secs => $3::integer)
WHERE name = $1 AND fence = $2
RETURNING fence;

-- name: release_lease
-- The next relay need not wait for the end.
UPDATE relay_lease
SET expires_at = clock_timestamp()
WHERE name = $1 AND fence = $2;

-- name: acknowledged
-- The last acknowledged offset of every output partition known here.
SELECT
    topic,
    partition,
    acknowledged_offset
FROM output_offset
ORDER BY topic, partition;

-- name: set_acknowledged
-- Whatever was acknowledged before: what lies up to there was compared with the ledger. Of a topic
-- that was made anew, or lost records, the former offset says nothing any more.
INSERT INTO output_offset (topic, partition, acknowledged_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET acknowledged_offset = excluded.acknowledged_offset;

-- name: knows_transaction
-- Does the ledger have this balance-changed?
SELECT exists(
    SELECT FROM ledger_transaction
    WHERE
        institution_id = $1
        AND patron_id = $2
        AND currency = $3
        AND sequence = $4
        AND transaction_id = $5
);

-- name: knows_batch
-- Was this batch sealed here?
SELECT exists(
    SELECT FROM export_batch
    WHERE institution_id = $1 AND profile = $2 AND batch_number = $3
);

-- name: knows_loan_closed
-- Was this loan closed here?
SELECT exists(
    SELECT FROM loan_closed
    WHERE institution_id = $1 AND loan_id = $2
);

-- name: knows_rejected
-- Was this record rejected here?
SELECT exists(
    SELECT FROM rejected
    WHERE topic = $1 AND partition = $2 AND record_offset = $3
);

-- name: waits_in_outbox
-- Is it about to be sent (again)? Looked for where the relay works: among the oldest rows.
WITH oldest AS (
    SELECT headers
    FROM outbox
    WHERE topic = $1
    ORDER BY id
    LIMIT 100
)

SELECT count(*) > 0
FROM oldest
CROSS JOIN unnest(oldest.headers) AS packed
WHERE position($2::bytea IN packed) > 0;
