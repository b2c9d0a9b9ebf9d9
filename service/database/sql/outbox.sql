-- name: put
-- Inserts a row with many records of one topic, in the order in which they are sent.
INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)
VALUES ($1, $2, $3, $4, $5);

-- name: last_put
-- The id of the row that this session has put last.
SELECT currval(pg_get_serial_sequence('outbox', 'id')) AS id;

-- name: page
-- The oldest rows of the outbox: at most a number of bytes, but at least one row. The order of the
-- ids is, for each account, the order of the ledger. Records in quarantine are left out, and
-- blocked topics keep their rows for later.
WITH candidates AS (
    SELECT
        id,
        CASE WHEN
            pg_column_compression(payloads) IS NULL
            THEN pg_column_size(keys) + pg_column_size(payloads) + pg_column_size(headers)
            -- The true size is not known, but it is at least that of a full row.
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
        SELECT kept.place FROM outbox_set_aside AS kept
        WHERE kept.outbox_id = outbox.id
    ) AS quarantined
FROM outbox
INNER JOIN measured ON outbox.id = measured.id
WHERE measured.bytes_with <= $2 OR measured.place = 1
ORDER BY outbox.id;

-- name: delete
-- Deletes rows of which the broker has acknowledged every record.
DELETE FROM outbox
WHERE id = any($1::bigint []);

-- name: acknowledge
-- Notes the offsets that the broker has acknowledged, for the restore check. They never decrease.
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
-- Keeps a record that the broker does not accept, so that it does not hold up the others.
INSERT INTO outbox_set_aside (
    outbox_id, place, topic, record_key, payload, headers, reason, recorded_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: waiting
-- How much waits to be sent, counted up to 100 000 rows, and for how long, by the clock of the
-- database. The row with the lowest id is the oldest one, or about as old.
WITH counted AS (
    SELECT id
    FROM outbox
    LIMIT 100000
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
-- Takes the lease under the next fence number, if it is free, has ended, or is this relay's own.
-- Only the clock of the database counts. A lease that ends later than one given now was given while
-- the clock was ahead; it counts as ended, because nobody could take it until that time has come.
INSERT INTO relay_lease AS kept (name, holder, fence, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3::integer))
ON CONFLICT (name) DO UPDATE
    SET
        holder = excluded.holder,
        fence = kept.fence + 1,
        expires_at = excluded.expires_at
    WHERE
        kept.expires_at <= clock_timestamp()
        -- No setting allows such a long lease, so it was given while the clock was ahead.
        OR kept.expires_at > clock_timestamp() + interval '15 minutes'
        OR kept.holder = excluded.holder
RETURNING fence;

-- name: renew_lease
-- Renews the lease, even if it has ended, as long as no other relay has taken it, which the fence
-- number shows.
UPDATE relay_lease
SET expires_at = clock_timestamp() + make_interval(secs => $3::integer)
WHERE name = $1 AND fence = $2
RETURNING fence;

-- name: release_lease
-- Ends the lease, so that the next relay need not wait.
UPDATE relay_lease
SET expires_at = clock_timestamp()
WHERE name = $1 AND fence = $2;

-- name: acknowledged
-- The last acknowledged offset of each output partition.
SELECT
    topic,
    partition,
    acknowledged_offset
FROM output_offset
ORDER BY topic, partition;

-- name: set_acknowledged
-- Sets acknowledged offsets, whatever they were, after the records up to them were compared with
-- the ledger. If a topic was created again or has lost records, its former offset has no meaning.
INSERT INTO output_offset (topic, partition, acknowledged_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET acknowledged_offset = excluded.acknowledged_offset;

-- name: knows_transaction
-- Whether the ledger has the transaction of a balance-changed event.
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
-- Whether this database has sealed a batch.
SELECT exists(
    SELECT FROM export_batch
    WHERE institution_id = $1 AND profile = $2 AND batch_number = $3
);

-- name: knows_loan_closed
-- Whether this database has closed a loan.
SELECT exists(
    SELECT FROM loan_closed
    WHERE institution_id = $1 AND loan_id = $2
);

-- name: knows_rejected
-- Whether this database has rejected a record.
SELECT exists(
    SELECT FROM rejected
    WHERE topic = $1 AND partition = $2 AND record_offset = $3
);

-- name: waits_in_outbox
-- Whether a record is about to be sent, perhaps once more: only the oldest rows are searched, where
-- the relay works.
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
