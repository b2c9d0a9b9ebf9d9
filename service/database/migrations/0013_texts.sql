-- Free texts beside the ledger, where they can be erased, and files found by their content.

-- A file that was imported under one source is not imported under another one unawares.
CREATE INDEX import_file_of_sha256 ON import_file (institution_id, sha256);

-- What people wrote about a transaction: the comment of a payment, the comment and the reason of a
-- change in the library, the reason of a refused line. It can be erased, which is why it is kept
-- beside the ledger. The key is that of the transaction.
CREATE TABLE transaction_text (
    institution_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    sequence bigint NOT NULL,
    comment text,
    cause_comment text,
    cause_reason text,
    PRIMARY KEY (institution_id, patron_id, currency, sequence),
    CHECK (num_nonnulls(comment, cause_comment, cause_reason) > 0)
);

-- Releases before this one wrote such texts into the ledger, and do so while they run beside it.
-- Therefore the ledger lets a text be taken away, and nothing else: no other column can be changed,
-- no text can be put in, and no row can be removed.
DROP TRIGGER append_only ON ledger_transaction;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE OR UPDATE OF
institution_id, patron_id, currency, sequence, epoch, transaction_id, fine_id, kind, label, amount,
active_change, transferred_change, active, transferred, fine_status, fine_considered,
fine_remaining, fine_outstanding, occurred_at, recorded_at
ON ledger_transaction
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER texts_can_only_go BEFORE UPDATE OF comment, cause ON ledger_transaction
FOR EACH ROW
WHEN (
    (new.comment IS NOT NULL AND new.comment IS DISTINCT FROM old.comment)
    OR (new.cause - 'comment' - 'reason') IS DISTINCT FROM (old.cause - 'comment' - 'reason')
    OR (
        new.cause IS DISTINCT FROM old.cause
        AND num_nonnulls(new.cause ->> 'comment', new.cause ->> 'reason') > 0
    )
)
EXECUTE FUNCTION refuse_change();

-- The comment wherever it is kept; the columns are those of before.
CREATE OR REPLACE VIEW report_transaction AS
SELECT
    ledger.institution_id,
    ledger.patron_id,
    ledger.currency,
    ledger.epoch,
    ledger.sequence,
    ledger.transaction_id,
    ledger.fine_id,
    ledger.kind,
    ledger.label,
    ledger.amount,
    ledger.active_change,
    ledger.transferred_change,
    ledger.active,
    ledger.transferred,
    ledger.active + ledger.transferred AS total,
    coalesce(ledger.comment, texts.comment) AS comment,
    ledger.cause ->> 'source' AS source,
    ledger.cause ->> 'payment_id' AS payment_id,
    ledger.cause ->> 'reverses_payment_id' AS reverses_payment_id,
    ledger.cause ->> 'status_code' AS status_code,
    ledger.cause ->> 'change_id' AS change_id,
    ledger.cause ->> 'profile' AS profile,
    (ledger.cause ->> 'batch_number')::bigint AS batch_number,
    ledger.cause ->> 'bursar_transaction_id' AS bursar_transaction_id,
    ledger.fine_status,
    ledger.fine_considered,
    ledger.fine_remaining,
    ledger.fine_outstanding,
    ledger.occurred_at,
    ledger.recorded_at
FROM ledger_transaction AS ledger
LEFT JOIN transaction_text AS texts USING (institution_id, patron_id, currency, sequence);
COMMENT ON VIEW report_transaction IS
'The ledger, one row per effect: balances after it, the fine after it, and what caused it';
