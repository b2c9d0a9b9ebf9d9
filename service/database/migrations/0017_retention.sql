-- What is removed when its retention has ended. A row stays as long as something refers to it or
-- compares with it; only its bytes, or what people wrote into it, are removed.

-- Key, value and headers of a rejected record. `original_sha256` is the digest of key and value, by
-- which the record is known if it is read again; `named` has the ids by which people look for it.
-- Earlier releases read such a row as that of a record without a value.
ALTER TABLE rejected
ADD COLUMN original_removed_at timestamptz,
ADD COLUMN original_sha256 bytea,
ADD COLUMN named jsonb;
ALTER TABLE rejected ADD CONSTRAINT rejected_original_check CHECK (
    (original_removed_at IS NULL) = (original_sha256 IS NULL)
    AND (original_removed_at IS NULL OR num_nonnulls(record_key, record_value) = 0)
) NOT VALID;
-- The rejected lines of imported files have a retention of their own.
CREATE INDEX rejected_original ON rejected (recorded_at)
WHERE original_removed_at IS NULL AND NOT starts_with(topic || '@', 'import@');
CREATE INDEX rejected_original_of_import ON rejected (recorded_at)
WHERE original_removed_at IS NULL AND starts_with(topic || '@', 'import@');

-- The XML of a batch: empty from then on, because earlier releases expect bytes. Hash, totals,
-- lines and manifest stay.
ALTER TABLE export_batch ADD COLUMN document_removed_at timestamptz;
CREATE INDEX export_batch_document ON export_batch (sealed_at)
WHERE document_removed_at IS NULL;

-- All but state, outbox_id, manifest_outbox_id and, by the trigger below, the document.
DROP TRIGGER sealed_once ON export_batch;
CREATE TRIGGER sealed_once BEFORE UPDATE OF
institution_id, profile, batch_number, run_id, export_number, currency, fine_count, total,
file_name, sha256, previous_sha256, manifest, manifest_headers, cutoff, sealed_at
ON export_batch
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();
-- Bytes are put in once, where a batch was adopted without them, and taken away once; the headers
-- that came with them stay.
CREATE OR REPLACE FUNCTION refuse_other_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length(OLD.document_headers) = 0 THEN
        IF octet_length(NEW.document_headers) > 0
            AND NEW.document_removed_at IS NULL
            AND sha256(NEW.document) = OLD.sha256
        THEN
            RETURN NEW;
        END IF;
    ELSIF octet_length(NEW.document) = 0
        AND NEW.document_headers = OLD.document_headers
        AND NEW.document_removed_at IS NOT NULL
        AND OLD.document_removed_at IS NULL
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the table % keeps what was sealed as it is', tg_table_name
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER IF EXISTS printed_once ON export_batch;
CREATE TRIGGER printed_once BEFORE UPDATE OF document, document_headers, document_removed_at
ON export_batch
FOR EACH ROW EXECUTE FUNCTION refuse_other_bytes();

-- Earlier releases send a batch again from these bytes, and do not know that they can be gone.
CREATE FUNCTION refuse_removed_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the document of this batch was removed from the database; its topic has it'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER no_removed_document BEFORE INSERT ON outbox
FOR EACH ROW
WHEN (
    right(new.topic, 15) = 'export-batch.v1'
    AND cardinality(new.payloads) = 1
    AND octet_length(new.payloads[1]) = 0
)
EXECUTE FUNCTION refuse_removed_document();

-- Who decided, and why, in their own words. What was decided about which record stays.
ALTER TABLE operator_action ADD COLUMN texts_removed_at timestamptz;
CREATE INDEX operator_action_texts ON operator_action (recorded_at)
WHERE texts_removed_at IS NULL;
DROP TRIGGER append_only ON operator_action;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE OR UPDATE OF
action_id, action, institution_id, subject, outcome, recorded_at
ON operator_action
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER texts_can_only_go BEFORE UPDATE OF reason, operator, texts_removed_at
ON operator_action
FOR EACH ROW
WHEN (
    new.reason !~ '^removed after [0-9]+ days$'
    OR new.operator <> 'removed'
    OR new.texts_removed_at IS NULL
    OR old.texts_removed_at IS NOT NULL
)
EXECUTE FUNCTION refuse_change();

-- What left the quarantine, runs that have ended, and records on which the program failed, by age.
CREATE INDEX quarantine_release_released_at ON quarantine_release (released_at);
CREATE INDEX export_run_closed ON export_run (cutoff) WHERE state = 'closed';
CREATE INDEX parked_error_recorded_at
ON parked_error (recorded_at, topic, partition, record_offset);

-- One instance purges for all of them. The first time is a day away, so that there is time to set
-- other retentions than the default ones.
INSERT INTO upkeep_turn (task, next_at) VALUES ('purge', clock_timestamp() + interval '1 day');

-- The columns are those of before, and at the end since when the document is gone.
CREATE OR REPLACE VIEW report_batch AS
SELECT
    batch.institution_id,
    batch.profile,
    batch.batch_number,
    batch.export_number::text AS export_number,
    batch.run_id,
    CASE
        WHEN batch.state <> 'sealed' THEN batch.state
        WHEN
            batch.document_headers IN (SELECT refused.headers FROM outbox_set_aside AS refused)
            OR batch.manifest_headers IN (SELECT refused.headers FROM outbox_set_aside AS refused)
            THEN 'quarantined'
        WHEN batch.document_headers = '' THEN 'sealed'
        WHEN
            EXISTS (
                SELECT FROM outbox
                WHERE outbox.id = batch.outbox_id OR outbox.id = batch.manifest_outbox_id
            )
            THEN 'sealed'
        ELSE 'published'
    END AS state,
    batch.currency,
    batch.fine_count,
    batch.total,
    batch.file_name,
    encode(batch.sha256, 'hex') AS sha256,
    batch.cutoff,
    batch.sealed_at,
    batch.document_removed_at
FROM export_batch AS batch;
