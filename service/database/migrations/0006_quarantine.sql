-- Records that the broker refused are in quarantine (the table outbox_set_aside) until they are
-- released or sent again. What left it is kept here by its old place in the outbox.

-- `queued_as` is the outbox row of the copy that is sent instead. A copy of a batch that still
-- waited in the outbox when the batch was sent again has a row here as well: should the broker
-- refuse it now, it does not go into quarantine, because the newer copy counts.
CREATE TABLE quarantine_release (
    outbox_id bigint NOT NULL,
    place integer NOT NULL,
    queued_as bigint NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (outbox_id, place)
);

-- A relay that does not know whether its commit went through writes the record again; without this
-- trigger a record that was released meanwhile would come back and be sent twice. It is a trigger,
-- not a condition of the relay's statement, so that it holds for relays of older releases as well.
CREATE FUNCTION keep_released_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Waits for a release, or for a batch that is being sent again, that has not been committed
    -- yet. Each statement of this function has a snapshot of its own: the last one sees the result.
    PERFORM FROM outbox_set_aside
    WHERE outbox_id = NEW.outbox_id AND place = NEW.place
    FOR KEY SHARE;
    PERFORM FROM outbox WHERE id = NEW.outbox_id FOR UPDATE;
    IF EXISTS (
        SELECT FROM quarantine_release
        WHERE outbox_id = NEW.outbox_id AND place = NEW.place
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_released_out BEFORE INSERT ON outbox_set_aside
FOR EACH ROW EXECUTE FUNCTION keep_released_out();

-- NULL in batches that were sealed before this revision or by an older release.
ALTER TABLE export_batch ADD COLUMN manifest_outbox_id bigint;

-- Record and batch are matched by their headers, which name the record by its ce_id and are kept
-- byte for byte in both tables, whichever release queued the copy.
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
    batch.sealed_at
FROM export_batch AS batch;
COMMENT ON VIEW report_batch IS
'Batches: sealed (waits in the outbox), quarantined (the broker refused document or manifest),
published (the broker has both), accepted, partly_refused, refused';
