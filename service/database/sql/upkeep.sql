-- name: lanes_to_settle
-- Parked records whose wait is over, as far as can be seen without a lock: a payment and its fine
-- decided at the same instant on two connections miss each other.
SELECT
    parked.institution_id,
    parked.source,
    parked.wait,
    parked.fine_id,
    parked.original
FROM parked
LEFT JOIN fine USING (institution_id, fine_id)
LEFT JOIN payment AS original
    ON
        parked.institution_id = original.institution_id
        AND parked.source = original.source
        AND parked.original = original.payment_id
WHERE
    (parked.wait = 'unknown_fine' AND fine.fine_id IS NOT NULL)
    OR (parked.wait = 'not_exported' AND fine.status NOT IN ('Active', 'In dispute'))
    OR (parked.wait = 'unknown_original' AND original.state <> 'parked')
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
