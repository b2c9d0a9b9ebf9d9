-- name: put_tally
-- Inserts a count of a command, in the commit that it counts.
INSERT INTO command_tally (metric, labels, amount)
VALUES ($1, $2, $3);

-- name: tallies_wait
-- Whether there are counts of commands that no service has added to its own.
SELECT
    exists(
        SELECT FROM command_tally
        WHERE metric = any($1::text [])
    ) AS wait;

-- name: take_tallies
-- Deletes and returns counts of the metrics that this release knows ($1). Rows that another
-- instance is just taking are passed over.
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
