-- name: fine_queues_to_retry
-- A page of fines whose parked records need not wait any more, as far as can be seen without a
-- lock: a payment and its fine decided at the same instant on two connections miss each other. In
-- key order behind ($1, $2), each with the number of its records, so that no queue hides another.
-- Each parked record looks up its fine by key. The look-ups are scalar subqueries because
-- PostgreSQL cannot turn these into a join, or into a hash, of all fines.
-- A payment may name a line beside a fine that is not there: as soon as there is such a line, it is
-- another fine's. The arrays have those payments; NULL: there are none.
SELECT
    parked.institution_id,
    parked.fine_id,
    count(*)::bigint AS records,
    array_agg(parked.source)
        FILTER (WHERE parked.wait = 'unknown_fine' AND parked.bursar_transaction_id IS NOT NULL)
        AS sources,
    array_agg(parked.id)
        FILTER (WHERE parked.wait = 'unknown_fine' AND parked.bursar_transaction_id IS NOT NULL)
        AS ids,
    array_agg(parked.bursar_transaction_id)
        FILTER (WHERE parked.wait = 'unknown_fine' AND parked.bursar_transaction_id IS NOT NULL)
        AS bursar_transaction_ids
FROM parked
WHERE
    parked.fine_id IS NOT NULL
    AND (parked.institution_id, parked.fine_id) > ($1, $2)
    AND NOT EXISTS (
        SELECT FROM parked_failure AS failure
        WHERE
            failure.institution_id = parked.institution_id
            AND failure.record = parked.record
            AND failure.source = parked.source
            AND failure.id = parked.id
    )
    AND CASE parked.wait
        WHEN 'unknown_fine' THEN coalesce(
            (
                SELECT TRUE FROM fine
                WHERE
                    fine.institution_id = parked.institution_id
                    AND fine.fine_id = parked.fine_id
            ),
            (
                SELECT TRUE FROM export_line AS line
                WHERE
                    line.institution_id = parked.institution_id
                    AND line.bursar_transaction_id = parked.bursar_transaction_id
            )
        )
        WHEN 'not_exported' THEN (
            SELECT fine.status NOT IN ('Active', 'In dispute') FROM fine
            WHERE
                fine.institution_id = parked.institution_id
                AND fine.fine_id = parked.fine_id
        )
    END
GROUP BY parked.institution_id, parked.fine_id
ORDER BY parked.institution_id, parked.fine_id
LIMIT $3;

-- name: payment_queues_to_retry
-- The same for payments that reversals wait for, in key order behind ($1, $2, $3).
SELECT
    parked.institution_id,
    parked.source,
    parked.original,
    count(*)::bigint AS records
FROM parked
WHERE
    parked.original IS NOT NULL
    AND (parked.institution_id, parked.source, parked.original) > ($1, $2, $3)
    AND parked.wait = 'unknown_original'
    AND NOT EXISTS (
        SELECT FROM parked_failure AS failure
        WHERE
            failure.institution_id = parked.institution_id
            AND failure.record = parked.record
            AND failure.source = parked.source
            AND failure.id = parked.id
    )
    AND (
        SELECT original.state <> 'parked' FROM payment AS original
        WHERE
            original.institution_id = parked.institution_id
            AND original.source = parked.source
            AND original.payment_id = parked.original
    )
GROUP BY parked.institution_id, parked.source, parked.original
ORDER BY parked.institution_id, parked.source, parked.original
LIMIT $4;

-- name: sums_to_retry
-- A page of waiting sums that were not tried since a debit of their account got outstanding, as far
-- as can be seen without a lock: a sum and an export that are decided at the same instant on two
-- connections miss each other. Oldest first, behind the arrival $1.
SELECT
    kept.arrival,
    kept.institution_id,
    kept.source,
    kept.payment_id,
    kept.patron_id,
    kept.currency
FROM payment_sum AS kept
WHERE
    kept.waits
    AND kept.arrival > $1
    AND EXISTS (
        SELECT FROM parked
        WHERE
            parked.institution_id = kept.institution_id
            AND parked.record = 'payment'
            AND parked.source = kept.source
            AND parked.id = kept.payment_id
    )
    AND NOT EXISTS (
        SELECT FROM parked_failure AS failure
        WHERE
            failure.institution_id = kept.institution_id
            AND failure.record = 'payment'
            AND failure.source = kept.source
            AND failure.id = kept.payment_id
    )
    AND (
        SELECT TRUE FROM ledger_transaction AS ledger
        WHERE
            ledger.institution_id = kept.institution_id
            AND ledger.patron_id = kept.patron_id
            AND ledger.currency = kept.currency
            AND ledger.sequence > kept.tried
            AND ledger.kind IN ('export_and_paid', 'reversal')
            AND ledger.transferred_change > 0
        LIMIT 1
    )
ORDER BY kept.arrival
LIMIT $2;

-- name: parked_by_wait
-- For the metrics: how many wait, and the oldest one's age in whole seconds. A sum that is
-- `unallocated` is stored otherwise (encodings.py).
SELECT
    wait,
    count(*)::bigint AS records,
    coalesce(extract(EPOCH FROM clock_timestamp() - min(recorded_at)), 0)::bigint AS oldest_seconds
FROM (
    SELECT
        CASE
            WHEN failure.error IS NOT NULL THEN 'internal_error'
            WHEN parked.wait = 'not_exported' AND parked.fine_id IS NULL THEN 'unallocated'
            ELSE parked.wait
        END AS wait,
        parked.recorded_at
    FROM parked
    LEFT JOIN parked_failure AS failure USING (institution_id, record, source, id)
    UNION ALL
    SELECT
        'internal_error' AS wait,
        recorded_at
    FROM parked_error
    UNION ALL
    SELECT
        'intake_stopped' AS wait,
        recorded_at
    FROM stopped_record
) AS waiting
GROUP BY wait;

-- name: take_turn
-- The task is due and nobody is at it: the next try is put off before this one begins, by a minute
-- and twice as long after each failure in a row, at most by the interval ($2, in seconds). Nothing
-- returned: it is not due, or another instance is at it (it holds the row).
UPDATE upkeep_turn
SET
    attempts = upkeep_turn.attempts + 1,
    next_at = clock_timestamp()
    + least(
        $2::integer * interval '1 second',
        interval '1 minute' * 2 ^ least(upkeep_turn.attempts, 20)
    )
FROM (
    SELECT task
    FROM upkeep_turn
    WHERE task = $1 AND next_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
) AS due
WHERE upkeep_turn.task = due.task
RETURNING upkeep_turn.task;

-- name: hold_turn
-- The first statement of the task's transaction: the row's lock is what keeps the others away, and
-- ends with the transaction, however that ends.
SELECT task
FROM upkeep_turn
WHERE task = $1
FOR UPDATE SKIP LOCKED;

-- name: put_off_turn
-- A try failed: the next one waits from now on, as long as this one was put off when it began.
UPDATE upkeep_turn
SET
    next_at = clock_timestamp()
    + least(
        $2::integer * interval '1 second',
        interval '1 minute' * 2 ^ least(greatest(attempts - 1, 0), 20)
    )
WHERE task = $1;

-- name: keep_turn
-- The first statement of a step of a task with many commits: nobody else begins the task meanwhile.
UPDATE upkeep_turn
SET
    attempts = 0,
    next_at = clock_timestamp() + interval '1 minute'
WHERE task = $1;

-- name: end_turn
-- The task is done; the next one is due an interval ($2, in seconds) later.
UPDATE upkeep_turn
SET
    attempts = 0,
    ended_at = clock_timestamp(),
    next_at = clock_timestamp() + $2::integer * interval '1 second',
    findings = $3
WHERE task = $1;

-- name: last_turn
-- When the task ended last, in seconds since 1970 (0: never), and what it found.
SELECT
    findings,
    coalesce(extract(EPOCH FROM ended_at), 0)::bigint AS ended_at_seconds
FROM upkeep_turn
WHERE task = $1;

-- name: longest_parked_queue
-- The fine that most records wait for: as a rule a slip in its id, such as "N/A".
SELECT
    institution_id,
    count(*)::bigint AS records
FROM parked
WHERE fine_id IS NOT NULL
GROUP BY institution_id, fine_id
ORDER BY records DESC
LIMIT 1;

-- name: put_senders
-- Who has sent something, by the database's clock. Another instance may have written the same a
-- moment ago: the row is not written twice within a minute.
INSERT INTO source_seen (institution_id, topic, source, seen_at)
SELECT
    k.institution_id,
    k.topic,
    k.source,
    clock_timestamp() AS seen_at
FROM unnest($1::text [], $2::text [], $3::text []) AS k (institution_id, topic, source)
ORDER BY k.institution_id COLLATE "C", k.topic COLLATE "C", k.source COLLATE "C"
ON CONFLICT (institution_id, topic, source) DO UPDATE
    SET seen_at = excluded.seen_at
    WHERE source_seen.seen_at < excluded.seen_at - interval '1 minute';

-- name: silent_sources
-- Sources that have sent nothing for more than $1 days, the longest silence first.
SELECT
    institution_id,
    topic,
    source,
    floor(extract(EPOCH FROM clock_timestamp() - seen_at) / 86400)::integer AS age_days
FROM source_seen
WHERE seen_at < clock_timestamp() - $1::integer * interval '1 day'
ORDER BY seen_at, institution_id, topic, source
LIMIT $2;

-- name: last_runs
-- Of each profile: since when it is known, when its last whole run ended, and the cutoff and what
-- was held back of the newest closed run. That one may be of a release that wrote no end. Runs of a
-- clock that was ahead do not count.
SELECT
    k.institution_id,
    k.profile,
    clock_timestamp() AS clock,
    known.since,
    ended.ended_at,
    (
        SELECT max(run.cutoff) FROM export_run AS run
        WHERE
            run.institution_id = k.institution_id
            AND run.profile = k.profile
            AND run.state = 'closed'
            AND run.cutoff <= clock_timestamp()
    ) AS cutoff,
    (
        SELECT run.held_back FROM export_run AS run
        WHERE
            run.institution_id = k.institution_id
            AND run.profile = k.profile
            AND run.state = 'closed'
            AND run.cutoff <= clock_timestamp()
        ORDER BY run.cutoff DESC
        LIMIT 1
    ) AS held_back
FROM unnest($1::text [], $2::text []) AS k (institution_id, profile)
LEFT JOIN profile_seen AS known USING (institution_id, profile)
LEFT JOIN export_run_end AS ended USING (institution_id, profile);

-- name: unanswered_batches
-- Batches older than $3 days that nobody has answered, the oldest first: neither by a response,
-- which changes their state, nor by a payment for one of their fines. Empty batches need no answer.
SELECT
    batch.profile,
    batch.batch_number,
    floor(extract(EPOCH FROM clock_timestamp() - batch.sealed_at) / 86400)::integer AS age_days
FROM unnest($1::text [], $2::text []) AS k (institution_id, profile)
INNER JOIN export_batch AS batch USING (institution_id, profile)
WHERE
    batch.state = 'sealed'
    AND batch.fine_count > 0
    AND batch.sealed_at < clock_timestamp() - $3::integer * interval '1 day'
    AND NOT EXISTS (
        SELECT FROM export_line AS line
        INNER JOIN payment USING (institution_id, fine_id)
        WHERE
            line.institution_id = batch.institution_id
            AND line.profile = batch.profile
            AND line.batch_number = batch.batch_number
            AND payment.state IN ('applied', 'noted')
    )
    AND NOT EXISTS (
        SELECT FROM export_line AS line
        INNER JOIN payment_part USING (institution_id, fine_id)
        WHERE
            line.institution_id = batch.institution_id
            AND line.profile = batch.profile
            AND line.batch_number = batch.batch_number
    )
ORDER BY batch.sealed_at, batch.profile, batch.batch_number
LIMIT $4;
