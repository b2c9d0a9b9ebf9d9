-- name: is_paused
SELECT exists(
    SELECT FROM export_pause
    WHERE institution_id = $1 AND profile = $2
) AS is_paused;

-- name: pauses
-- All of them: there are at most as many as there are profiles.
SELECT
    institution_id,
    profile,
    reason,
    operator,
    paused_at
FROM export_pause
ORDER BY institution_id, profile;

-- name: await_batch
-- Whoever pauses a profile waits here until the batch in hand is sealed; the next step of its run
-- waits for the pause.
SELECT run_id
FROM export_run
WHERE institution_id = $1 AND profile = $2 AND state = 'open'
FOR UPDATE;

-- name: pause
-- Nothing returned: it is paused already.
INSERT INTO export_pause (institution_id, profile, reason, operator)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING paused_at;

-- name: resume
-- Nothing returned: it is not paused.
DELETE FROM export_pause
WHERE institution_id = $1 AND profile = $2
RETURNING paused_at;
