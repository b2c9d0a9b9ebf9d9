-- name: institutions_with_open_fines
-- From one institution to the next by the index, however many fines each has.
WITH RECURSIVE institutions (institution_id) AS (
    (
        SELECT institution_id FROM fine
        WHERE status IN ('Active', 'In dispute')
        ORDER BY institution_id
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT fine.institution_id FROM fine
        WHERE
            fine.status IN ('Active', 'In dispute')
            AND fine.institution_id > institutions.institution_id
        ORDER BY fine.institution_id
        LIMIT 1
    ) AS institution_id
    FROM institutions
    WHERE institutions.institution_id IS NOT NULL
)

SELECT institution_id
FROM institutions
WHERE institution_id IS NOT NULL;

-- name: open_groups
-- The open fines of an institution by what decides which profile takes them; `held` counts those
-- that are held back by themselves, whoever asks.
SELECT
    fine.type,
    fine.currency,
    fine.owner ->> 'library_code' AS library_code,
    coalesce(patron.user_group, '') AS user_group,
    count(*)::bigint AS fines,
    count(*) FILTER (
        WHERE
        fine.status = 'In dispute'
        OR fine.refused_reason IS NOT NULL
        OR NOT (fine.exportable OR fine.released)
    )::bigint AS held
FROM fine
LEFT JOIN patron USING (institution_id, patron_id)
WHERE fine.institution_id = $1 AND fine.status IN ('Active', 'In dispute')
GROUP BY
    fine.type, fine.currency, fine.owner ->> 'library_code', coalesce(patron.user_group, '');

-- name: fines_of_groups
-- The first open fines of some of these groups that nothing else holds back; an empty library code
-- stands for a fine of the institution itself.
SELECT
    fine.institution_id, fine.fine_id, fine.patron_id, fine.currency, fine.type, fine.amount,
    fine.owner, fine.created_at, fine.comment, fine.loan_id, fine.item, fine.credit_of,
    fine.exportable, fine.digest, fine.status, fine.considered, fine.remaining, fine.outstanding,
    fine.line, fine.terms_id, fine.payments_live, fine.status_code, fine.refused_reason,
    fine.released, fine.changed_at, amendment.amount_created, amendment.adjusted_at,
    amendment.disputed_at, amendment.unconfirmed,
    coalesce(patron.user_group, '') AS user_group
FROM fine
LEFT JOIN patron USING (institution_id, patron_id)
LEFT JOIN fine_amendment AS amendment ON
    fine.institution_id = amendment.institution_id AND fine.fine_id = amendment.fine_id
WHERE
    fine.institution_id = $1
    AND fine.status = 'Active'
    AND fine.refused_reason IS NULL
    AND (fine.exportable OR fine.released)
    AND (
        fine.type::text,
        fine.currency::text,
        coalesce(fine.owner ->> 'library_code', ''),
        coalesce(patron.user_group, '')
    ) IN (
        SELECT
            k.type,
            k.currency,
            k.library_code,
            k.user_group
        FROM unnest($2::text [], $3::text [], $4::text [], $5::text [])
            AS k (type, currency, library_code, user_group)
    )
    AND ($6::text IS NULL OR fine.patron_id = $6)
ORDER BY fine.fine_id
LIMIT $7;
