-- name: open_fines
-- Open fines of an institution that have the same patron, loan, type and sum as another one. The
-- patron comes first because the index of the open fines has that order: the groups of one patron
-- are formed after another, and the statement ends with the $2 first groups.
SELECT
    loan_id,
    type,
    currency,
    remaining,
    count(*)::bigint AS fines,
    min(fine_id) AS first_fine_id,
    max(fine_id) AS last_fine_id
FROM fine
WHERE
    institution_id = $1
    AND status IN ('Active', 'In dispute')
    AND loan_id IS NOT NULL
GROUP BY patron_id, loan_id, type, currency, remaining
HAVING count(*) > 1
ORDER BY patron_id, loan_id, type, currency, remaining
LIMIT $2;
