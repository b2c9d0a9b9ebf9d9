-- What `recover` keeps when it makes a restored database continue where the lost one had stopped.

-- One row for each recovery. `adopting`: the command works, and the verdict of the restore check
-- still forbids all other writing. `reading`: the service reads again what it had read, and nothing
-- is exported. `done`: it has read as far as the lost database had, and published the balances of
-- the accounts whose readers knew more. `finding` and `evidence` are the verdict at the beginning.
-- The epoch grows while it is `adopting`, if the topics turn out to hold a higher one.
CREATE TABLE recovery (
    epoch integer PRIMARY KEY CHECK (epoch >= 2),
    state text NOT NULL CHECK (state IN ('adopting', 'reading', 'done')),
    finding text NOT NULL,
    evidence jsonb NOT NULL,
    operator text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reading_since timestamptz,
    ended_at timestamptz,
    CHECK ((state = 'adopting') = (reading_since IS NULL) OR state = 'done'),
    CHECK ((state = 'done') = (ended_at IS NOT NULL))
);
-- At most one recovery is not done.
CREATE UNIQUE INDEX recovery_unfinished ON recovery ((TRUE)) WHERE state <> 'done';

-- Up to which offset each input partition has to be read again: as far as the group had read it.
CREATE TABLE recovery_mark (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition)
);

-- Batches that were published and that the restored database did not know. Each has its row in
-- `export_batch` as well. `document` says where its bytes are: in the topic and here (`published`),
-- nowhere so far (`missing`), made again from its lines (`rendered`), or made again and not those
-- of the manifest's SHA-256 (`differs`), which a person has to decide about.
CREATE TABLE adopted_batch (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL CHECK (batch_number >= 1),
    epoch integer NOT NULL REFERENCES recovery ON UPDATE CASCADE,
    terms_id key_text NOT NULL,
    document text NOT NULL CHECK (document IN ('published', 'missing', 'rendered', 'differs')),
    adopted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (institution_id, profile, batch_number)
);
CREATE INDEX adopted_batch_unprinted ON adopted_batch (institution_id, profile, batch_number)
WHERE document = 'missing';

-- Their lines. Each waits for its fine, and is taken when the fine is as it was at that export; or
-- a person drops it. The bursar's refusal of a line that still waits is kept here until then.
-- `export_number` and `place` give the order of the lines of a fine. `patron_id` is that of the
-- account, if an event of the lost database has told it.
CREATE TABLE adopted_line (
    institution_id key_text NOT NULL,
    bursar_transaction_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL,
    place integer NOT NULL CHECK (place >= 0),
    amount bigint NOT NULL CHECK (amount <> 0),
    currency key_text NOT NULL,
    fine_status text NOT NULL CHECK (fine_status IN ('Closed', 'Transferred')),
    terms_id key_text NOT NULL,
    cutoff timestamptz NOT NULL,
    export_number numeric(20) NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'taken', 'dropped')),
    patron_id key_text,
    refused_reason text,
    refused_at timestamptz,
    PRIMARY KEY (institution_id, bursar_transaction_id),
    CHECK ((refused_reason IS NULL) = (refused_at IS NULL))
);
CREATE INDEX adopted_line_waiting ON adopted_line (institution_id, fine_id)
WHERE state = 'waiting';
CREATE INDEX adopted_line_of_patron ON adopted_line (institution_id, patron_id, currency)
WHERE state = 'waiting';
CREATE INDEX adopted_line_of_batch ON adopted_line (institution_id, profile, batch_number);

CREATE TRIGGER sealed_for_good BEFORE DELETE OR TRUNCATE ON adopted_batch
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();
CREATE TRIGGER sealed_for_good BEFORE DELETE OR TRUNCATE ON adopted_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();

-- While a recovery is not done nothing else is exported, whichever release tries to.
CREATE FUNCTION refuse_export_in_recovery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM recovery WHERE state <> 'done') AND EXISTS (
        SELECT FROM added
        WHERE NOT EXISTS (
            SELECT FROM adopted_batch AS adopted
            WHERE
                adopted.institution_id = added.institution_id
                AND adopted.profile = added.profile
                AND adopted.batch_number = added.batch_number
        )
    ) THEN
        RAISE EXCEPTION 'nothing is exported before the recovery of this database is done'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER not_in_recovery AFTER INSERT ON export_batch
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION refuse_export_in_recovery();

-- A fine whose published line still waits is never billed with another one.
CREATE FUNCTION refuse_second_billing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        INNER JOIN adopted_line AS adopted
            ON
                added.institution_id = adopted.institution_id
                AND added.fine_id = adopted.fine_id
                AND adopted.state = 'waiting'
        WHERE NOT EXISTS (
            SELECT FROM adopted_line AS itself
            WHERE
                itself.institution_id = added.institution_id
                AND itself.bursar_transaction_id = added.bursar_transaction_id
        )
    ) THEN
        RAISE EXCEPTION 'a fine was billed before this database was restored, and its line waits'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER not_billed_twice AFTER INSERT ON export_line
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION refuse_second_billing();

-- The bytes of a batch that was adopted without them are put in once, and only those of its hash.
CREATE FUNCTION refuse_other_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length(OLD.document_headers) > 0
        OR octet_length(NEW.document_headers) = 0
        OR sha256(NEW.document) <> OLD.sha256
    THEN
        RAISE EXCEPTION 'the table % keeps what was sealed as it is', tg_table_name
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER sealed_once ON export_batch;
CREATE TRIGGER sealed_once BEFORE UPDATE OF
institution_id, profile, batch_number, run_id, export_number, currency, fine_count, total,
file_name, sha256, previous_sha256, manifest, manifest_headers, cutoff, sealed_at
ON export_batch
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sealed();
CREATE TRIGGER printed_once BEFORE UPDATE OF document, document_headers ON export_batch
FOR EACH ROW EXECUTE FUNCTION refuse_other_bytes();

-- A batch whose bytes are missing is not published, whatever has left the outbox; the columns are
-- those of before.
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
    batch.sealed_at
FROM export_batch AS batch;

-- The accounts of the events that were published and that the restored database does not know.
-- `own_...` is where the account stood here, `published_...` what its readers knew, `last_event`
-- the last event in a few words. The account goes on behind `raised_to`. If it has no event of its
-- own since, its last event is published again as `announced_sequence`; `settled` says that this
-- was done or is not needed. Numbers that the lost ledger had used have no transaction here.
CREATE TABLE recovery_account (
    institution_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    epoch integer NOT NULL REFERENCES recovery ON UPDATE CASCADE,
    own_epoch integer NOT NULL,
    own_sequence bigint NOT NULL,
    published_epoch integer NOT NULL,
    published_sequence bigint NOT NULL,
    published_active bigint NOT NULL,
    published_transferred bigint NOT NULL,
    last_event jsonb NOT NULL,
    raised_to bigint NOT NULL,
    announced_sequence bigint,
    announced_id key_text,
    announced_at timestamptz,
    settled boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (institution_id, patron_id, currency, epoch),
    CHECK (raised_to >= own_sequence AND raised_to >= published_sequence),
    CHECK (num_nonnulls(announced_sequence, announced_id, announced_at) IN (0, 3))
);
CREATE INDEX recovery_account_unsettled
ON recovery_account (institution_id, patron_id, currency) WHERE NOT settled;

-- Decisions of people that were published and that the restored database does not know.
CREATE TABLE recovery_decision (
    epoch integer NOT NULL REFERENCES recovery ON UPDATE CASCADE,
    ce_id key_text NOT NULL,
    action_id bigint NOT NULL,
    action text NOT NULL,
    institution_id key_text,
    subject jsonb NOT NULL,
    details jsonb NOT NULL,
    outcome text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (epoch, ce_id)
);
