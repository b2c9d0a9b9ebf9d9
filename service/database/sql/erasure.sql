-- name: accounts_of_patron
-- Locked in key order, as every writer of a patron's fines does: nothing is written meanwhile.
SELECT currency
FROM account
WHERE institution_id = $1 AND patron_id = $2
ORDER BY institution_id, patron_id, currency
FOR UPDATE;

-- name: fines_of_patron
-- Found by the ledger, whose key begins with the patron; is_open: something is owed somewhere.
-- OFFSET 0 keeps the look-up of each fine by its key: with old statistics all fines would be read.
SELECT
    fine.fine_id,
    fine.considered = 'active' AS is_open
FROM (
    SELECT DISTINCT ledger.fine_id
    FROM ledger_transaction AS ledger
    WHERE ledger.institution_id = $1 AND ledger.patron_id = $2
) AS named
CROSS JOIN LATERAL (
    SELECT
        kept.fine_id,
        kept.considered
    FROM fine AS kept
    WHERE kept.institution_id = $1 AND kept.fine_id = named.fine_id
    OFFSET 0
) AS fine
ORDER BY fine.fine_id;

-- name: erase_texts
DELETE FROM transaction_text
WHERE institution_id = $1 AND patron_id = $2;

-- name: erase_texts_in_ledger
-- What releases before 0.5.0 wrote into the ledger itself. "Bursar" is the program's own word.
UPDATE ledger_transaction
SET
    comment = CASE WHEN comment = $3 THEN comment END,
    cause = cause - 'comment' - 'reason'
WHERE
    institution_id = $1
    AND patron_id = $2
    AND (
        comment <> $3
        OR cause ->> 'comment' IS NOT NULL
        OR cause ->> 'reason' IS NOT NULL
    );

-- name: erase_reasons_of_lines
-- Why the ERP refused a line; which lines, the ledger knows.
UPDATE export_line
SET reason = NULL
FROM ledger_transaction AS ledger
WHERE
    ledger.institution_id = $1
    AND ledger.patron_id = $2
    AND ledger.kind = 'export_rejected'
    AND export_line.institution_id = $1
    AND export_line.bursar_transaction_id = ledger.cause ->> 'bursar_transaction_id'
    AND export_line.reason IS NOT NULL;

-- name: erase_fines
-- Comment, item and reason of a refusal; the digest stays, so that a repeat is known as one.
UPDATE fine
SET
    comment = NULL,
    item = NULL,
    refused_reason = NULL
FROM unnest($2::text []) AS k (fine_id)
WHERE
    fine.institution_id = $1
    AND fine.fine_id = k.fine_id
    AND num_nonnulls(fine.comment, fine.item, fine.refused_reason) > 0;

-- name: erase_patron
DELETE FROM patron
WHERE institution_id = $1 AND patron_id = $2;
