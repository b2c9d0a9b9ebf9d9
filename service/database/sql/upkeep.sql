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
        AS lines
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

-- name: parked_by_wait
-- For the metrics: how many wait, and the oldest one's age in whole seconds.
SELECT
    wait,
    count(*)::bigint AS records,
    coalesce(extract(EPOCH FROM clock_timestamp() - min(recorded_at)), 0)::bigint AS oldest_seconds
FROM (
    SELECT
        CASE WHEN failure.error IS NULL THEN parked.wait ELSE 'internal_error' END AS wait,
        parked.recorded_at
    FROM parked
    LEFT JOIN parked_failure AS failure USING (institution_id, record, source, id)
    UNION ALL
    SELECT
        'internal_error' AS wait,
        recorded_at
    FROM parked_error
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
