-- The first schema: ledger, intake offsets, outbox, exports.
-- Keys are COLLATE "C": one order in Python, SQL and every image's locale.
-- institution_id leads every key of the ledger: no rule needs two institutions.

CREATE DOMAIN key_text AS text COLLATE "C" CHECK (value <> '');

CREATE TABLE account (
    institution_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    active bigint NOT NULL DEFAULT 0,
    transferred bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    PRIMARY KEY (institution_id, patron_id, currency)
);

-- Personal data lives here alone and can be erased; the ledger has opaque ids.
CREATE TABLE patron (
    institution_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    name text NOT NULL,
    user_group text NOT NULL,
    identifiers jsonb NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, patron_id)
);

-- The part of a profile that exported fines keep, once per distinct text.
CREATE TABLE terms (
    institution_id key_text NOT NULL,
    terms_id key_text NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (institution_id, terms_id)
);

CREATE TABLE fine (
    institution_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    type key_text NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0 AND (amount < 0) = (type = 'CREDIT')),
    owner jsonb,
    created_at timestamptz NOT NULL,
    comment text,
    loan_id key_text,
    item jsonb,
    credit_of key_text,
    exportable boolean NOT NULL,
    digest bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('Active', 'In dispute', 'Closed', 'Transferred')),
    considered text NOT NULL CHECK (considered IN ('active', 'closed')),
    remaining bigint NOT NULL,
    outstanding bigint NOT NULL,
    line key_text,
    terms_id key_text,
    payments_live integer NOT NULL CHECK (payments_live >= 0),
    status_code text,
    refused_reason text,
    released boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, fine_id),
    CHECK ((remaining <> 0) = (status IN ('Active', 'In dispute'))),
    CHECK (outstanding = 0 OR status = 'Transferred'),
    CHECK (remaining = 0 OR sign(remaining) = sign(amount) AND abs(remaining) <= abs(amount)),
    CHECK (outstanding = 0 OR sign(outstanding) = sign(amount) AND abs(outstanding) <= abs(amount)),
    CHECK ((considered = 'active') = (remaining <> 0 OR outstanding <> 0)),
    CHECK (line IS NULL OR terms_id IS NOT NULL)
) WITH (fillfactor = 85);

-- What a run looks at, in the order it claims.
CREATE INDEX fine_open ON fine (institution_id, patron_id, fine_id)
WHERE status IN ('Active', 'In dispute');

-- Append-only: one row per effect, in the account's own order.
CREATE TABLE ledger_transaction (
    institution_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    epoch integer NOT NULL,
    transaction_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    kind text NOT NULL,
    label text NOT NULL,
    amount bigint NOT NULL,
    active_change bigint NOT NULL,
    transferred_change bigint NOT NULL,
    active bigint NOT NULL,
    transferred bigint NOT NULL,
    comment text,
    cause jsonb,
    fine_status text NOT NULL,
    fine_considered text NOT NULL,
    fine_remaining bigint NOT NULL,
    fine_outstanding bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, patron_id, currency, sequence)
);
CREATE INDEX ledger_transaction_of_fine
ON ledger_transaction (institution_id, fine_id, sequence);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table % is append-only', tg_table_name
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE payment (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    payment_id key_text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('payment', 'reversal', 'write_off', 'status')),
    digest bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'noted', 'parked', 'rejected')),
    fine_id key_text,
    bursar_transaction_id key_text,
    currency key_text,
    amount bigint CHECK (amount > 0),
    paid_at timestamptz NOT NULL,
    applied bigint NOT NULL DEFAULT 0 CHECK (applied >= 0),
    excess bigint NOT NULL DEFAULT 0 CHECK (excess >= 0),
    credit_id key_text,
    reversed_by key_text,
    reverses key_text,
    reason text,
    PRIMARY KEY (institution_id, source, payment_id),
    CHECK ((reason IS NOT NULL) = (state = 'rejected')),
    CHECK ((credit_id IS NOT NULL) = (excess > 0)),
    CHECK ((reverses IS NOT NULL) = (kind = 'reversal')),
    CHECK (state <> 'applied' OR fine_id IS NOT NULL)
);
CREATE INDEX payment_of_fine ON payment (institution_id, fine_id) WHERE fine_id IS NOT NULL;
-- The database forbids a second reversal of one payment.
CREATE UNIQUE INDEX payment_reversed_once ON payment (institution_id, source, reverses)
WHERE kind = 'reversal' AND state IN ('applied', 'noted');

CREATE TABLE fine_change (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    change_id key_text NOT NULL,
    digest bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'parked', 'rejected')),
    fine_id key_text NOT NULL,
    reason text,
    PRIMARY KEY (institution_id, source, change_id),
    CHECK ((reason IS NOT NULL) = (state = 'rejected'))
);

CREATE TABLE export_response (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    response_id key_text NOT NULL,
    digest bytea NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'rejected')),
    reason text,
    PRIMARY KEY (institution_id, source, response_id),
    CHECK ((reason IS NOT NULL) = (state = 'rejected'))
);

CREATE SEQUENCE parked_arrival CACHE 1;
-- Sound records that wait; the bytes as they came, for they may be rejected later.
CREATE TABLE parked (
    institution_id key_text NOT NULL,
    record text NOT NULL CHECK (record IN ('payment', 'change')),
    source key_text NOT NULL,
    id key_text NOT NULL,
    wait text NOT NULL CHECK (
        wait IN ('unknown_fine', 'not_exported', 'unknown_original', 'overpaid_held')
    ),
    fine_id key_text,
    original key_text,
    bursar_transaction_id key_text,
    arrival bigint NOT NULL DEFAULT nextval('parked_arrival'),
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    record_key bytea,
    record_value bytea,
    record_headers bytea NOT NULL,
    traceparent text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, record, source, id)
);
CREATE INDEX parked_of_fine ON parked (institution_id, fine_id) WHERE fine_id IS NOT NULL;
CREATE INDEX parked_behind ON parked (institution_id, source, original) WHERE original IS NOT NULL;
CREATE INDEX parked_by_arrival ON parked (arrival);

-- Sound records that the database itself refuses (a bug, a limit), alone in their poll: parked as
-- internal_error. A table of its own, for their identity is not bound.
CREATE TABLE parked_error (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    institution_id key_text NOT NULL,
    error text NOT NULL,
    record_key bytea,
    record_value bytea,
    record_headers bytea NOT NULL,
    traceparent text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);

-- What was refused, byte for byte; the topic is a copy.
CREATE TABLE rejected (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    institution_id key_text,
    reason text NOT NULL,
    detail text NOT NULL,
    record_key bytea,
    record_value bytea,
    record_headers bytea NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, record_offset, reason)
);
CREATE INDEX rejected_of_institution ON rejected (institution_id, recorded_at);

-- Files the bursar sent back: the first import fixes the instant that all its payments carry, so
-- that importing again says the same.
CREATE TABLE import_file (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    sha256 key_text NOT NULL,
    profile key_text NOT NULL,
    paid_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, source, sha256)
);

-- What a person did, and why: one row per decision, in its own commit.
CREATE TABLE operator_action (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action text NOT NULL,
    institution_id key_text,
    subject jsonb NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    operator text NOT NULL,
    outcome text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_action
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE loan_closed (
    institution_id key_text NOT NULL,
    loan_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    batch_number bigint NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, loan_id)
);

-- --- export --------------------------------------------------------------------------------------

CREATE TABLE export_counter (
    institution_id key_text PRIMARY KEY,
    export_number numeric(20) NOT NULL,
    bursar_transaction_id numeric(20) NOT NULL
);

CREATE TABLE profile_counter (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL,
    sha256 bytea,
    PRIMARY KEY (institution_id, profile)
);

CREATE TABLE profile_seen (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (institution_id, profile)
);

CREATE TABLE export_run (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    run_id key_text NOT NULL,
    cutoff timestamptz NOT NULL,
    held_back jsonb NOT NULL DEFAULT '{}',
    after_patron text COLLATE "C" NOT NULL DEFAULT '',
    after_fine text COLLATE "C" NOT NULL DEFAULT '',
    taken bigint NOT NULL DEFAULT 0,
    parts integer NOT NULL DEFAULT 0,
    state text NOT NULL CHECK (state IN ('open', 'closed')),
    PRIMARY KEY (institution_id, profile, run_id)
);
-- One open run per profile: a second exporter goes on in it.
CREATE UNIQUE INDEX export_run_open ON export_run (institution_id, profile) WHERE state = 'open';

CREATE TABLE export_batch (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL CHECK (batch_number >= 1),
    run_id key_text NOT NULL,
    export_number numeric(20) NOT NULL,
    state text NOT NULL CHECK (
        state IN ('sealed', 'published', 'accepted', 'partly_refused', 'refused')
    ),
    currency key_text NOT NULL,
    fine_count integer NOT NULL CHECK (fine_count >= 0),
    total bigint NOT NULL,
    file_name text NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    previous_sha256 bytea,
    document bytea NOT NULL,
    document_headers bytea NOT NULL,
    manifest bytea NOT NULL,
    manifest_headers bytea NOT NULL,
    outbox_id bigint NOT NULL,
    cutoff timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, profile, batch_number),
    UNIQUE (institution_id, export_number),
    CHECK ((previous_sha256 IS NULL) = (batch_number = 1))
);
ALTER TABLE export_batch ALTER COLUMN document SET STORAGE EXTERNAL;

CREATE TABLE export_line (
    institution_id key_text NOT NULL,
    bursar_transaction_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    profile key_text NOT NULL,
    batch_number bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    currency key_text NOT NULL,
    state text NOT NULL CHECK (state IN ('live', 'refused')),
    reason text,
    PRIMARY KEY (institution_id, bursar_transaction_id),
    FOREIGN KEY (institution_id, profile, batch_number) REFERENCES export_batch
    DEFERRABLE INITIALLY DEFERRED
);
-- A fine sits in at most one live batch.
CREATE UNIQUE INDEX export_line_live ON export_line (institution_id, fine_id) WHERE state = 'live';
CREATE INDEX export_line_of_batch ON export_line (institution_id, profile, batch_number);

-- --- Kafka in and out ----------------------------------------------------------------------------

-- The truth about what was read. The anchor is the last record read: a topic made anew has another.
CREATE TABLE consumer_offset (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    owner_epoch bigint NOT NULL DEFAULT 0,
    anchor_offset bigint,
    anchor_digest bytea,
    PRIMARY KEY (topic, partition)
);

-- A queue, not a log: rows leave after the broker's acknowledgement. Arrays: one row may be a poll.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    topic text NOT NULL,
    keys bytea [] NOT NULL,
    payloads bytea [] NOT NULL,
    headers bytea [] NOT NULL,
    recorded_at timestamptz NOT NULL,
    CHECK (cardinality(keys) = cardinality(payloads) AND cardinality(keys) = cardinality(headers))
);

-- Kept as they are: what a page holds is counted in bytes, and they live for moments.
ALTER TABLE outbox ALTER COLUMN keys SET STORAGE EXTERNAL;
ALTER TABLE outbox ALTER COLUMN payloads SET STORAGE EXTERNAL;
ALTER TABLE outbox ALTER COLUMN headers SET STORAGE EXTERNAL;

-- Records the broker refuses for their own sake, with the reason; an operator's to mend.
CREATE TABLE outbox_set_aside (
    outbox_id bigint NOT NULL,
    place integer NOT NULL,
    topic text NOT NULL,
    record_key bytea,
    payload bytea,
    headers bytea NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (outbox_id, place)
);

-- The relay's witness: the last acknowledged offset of each output partition, kept with the delete.
CREATE TABLE output_offset (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    acknowledged_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- One relay at a time; ends by the database's clock.
CREATE TABLE relay_lease (
    name text PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
