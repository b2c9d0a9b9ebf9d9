-- name: lanes_to_settle
-- Parked records whose wait is over, as far as can be seen without a lock: a payment and its fine
-- decided at the same instant on two connections miss each other.
-- Each parked record looks up its fine or its original by key. The look-ups are scalar subqueries
-- because PostgreSQL cannot turn these into a join, or into a hash, of all fines and payments.
SELECT
    parked.institution_id,
    parked.source,
    parked.wait,
    parked.fine_id,
    parked.original
FROM parked
WHERE
    CASE parked.wait
        WHEN 'unknown_fine' THEN (
            SELECT TRUE FROM fine
            WHERE
                fine.institution_id = parked.institution_id
                AND fine.fine_id = parked.fine_id
        )
        WHEN 'not_exported' THEN (
            SELECT fine.status NOT IN ('Active', 'In dispute') FROM fine
            WHERE
                fine.institution_id = parked.institution_id
                AND fine.fine_id = parked.fine_id
        )
        WHEN 'unknown_original' THEN (
            SELECT original.state <> 'parked' FROM payment AS original
            WHERE
                original.institution_id = parked.institution_id
                AND original.source = parked.source
                AND original.payment_id = parked.original
        )
    END
ORDER BY parked.arrival
LIMIT $1;

-- name: parked_by_wait
-- For the metrics: how many wait, and the oldest one's age in whole seconds.
SELECT
    wait,
    count(*)::bigint AS records,
    coalesce(extract(EPOCH FROM clock_timestamp() - min(recorded_at)), 0)::bigint AS oldest_seconds
FROM (
    SELECT
        wait,
        recorded_at
    FROM parked
    UNION ALL
    SELECT
        'internal_error' AS wait,
        recorded_at
    FROM parked_error
) AS waiting
GROUP BY wait;
