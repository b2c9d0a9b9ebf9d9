-- name: put_tally
-- What a command counts, in its own commit.
INSERT INTO command_tally (metric, labels, amount)
VALUES ($1, $2, $3);

-- name: tallies_wait
-- Whether there is anything to take over.
SELECT
    exists(
        SELECT FROM command_tally
        WHERE metric = any($1::text [])
    ) AS wait;

-- name: take_tallies
-- Rows that no other instance is taking, of metrics that this release knows ($1).
DELETE FROM command_tally
USING (
    SELECT tally_id
    FROM command_tally
    WHERE metric = any($1::text [])
    ORDER BY tally_id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS taken
WHERE command_tally.tally_id = taken.tally_id
RETURNING command_tally.metric, command_tally.labels, command_tally.amount;
