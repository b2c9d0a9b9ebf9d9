-- A run commits its progress every few pages, also where no batch is full yet.

-- What an open run has selected for its next batch and how far it has looked, beyond the mark of
-- export_run. A plan counts only for the mark at which it began (after_patron, after_fine): when an
-- exporter of an older release, which does not know this table, moves the mark, the plan is void
-- and is made again. At most one row for each profile; kept beside export_run, because a new column
-- there would end statements that older releases have prepared.
CREATE TABLE export_plan (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    run_id key_text NOT NULL,
    after_patron text COLLATE "C" NOT NULL,
    after_fine text COLLATE "C" NOT NULL,
    looked_patron text COLLATE "C" NOT NULL,
    looked_fine text COLLATE "C" NOT NULL,
    patron_ids text [] NOT NULL,
    fine_ids text [] NOT NULL,
    sizes_bytes integer [] NOT NULL,
    held_back jsonb NOT NULL,
    PRIMARY KEY (institution_id, profile),
    CHECK ((looked_patron, looked_fine) >= (after_patron, after_fine)),
    CHECK (
        cardinality(patron_ids) = cardinality(fine_ids)
        AND cardinality(patron_ids) = cardinality(sizes_bytes)
    )
);

-- What was sealed is what the bursar has: it is sent again from here, and compared with here. The
-- columns are named, not compared, because a comparison would read the bytes of each batch. A
-- column that may be changed is not in the list; a new one has to be put on one side or the other
-- (tests/database/test_immutable.py).
CREATE FUNCTION refuse_change_of_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table % keeps what was sealed as it is', tg_table_name
        USING ERRCODE = 'restrict_violation';
END $$;

-- All but state, outbox_id and manifest_outbox_id.
CREATE TRIGGER sealed_once BEFORE UPDATE OF
institution_id, profile, batch_number, run_id, export_number, currency, fine_count, total,
file_name, sha256, previous_sha256, document, document_headers, manifest, manifest_headers,
cutoff, sealed_at
ON export_batch
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();
CREATE TRIGGER sealed_for_good BEFORE DELETE OR TRUNCATE ON export_batch
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();

-- All but state and reason.
CREATE TRIGGER sealed_once BEFORE UPDATE OF
institution_id, bursar_transaction_id, fine_id, profile, batch_number, amount, currency
ON export_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();
CREATE TRIGGER sealed_for_good BEFORE DELETE OR TRUNCATE ON export_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();

-- As ledger_transaction and operator_action, which have this trigger since the first revision.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loan_closed
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON terms
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON import_file
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
