-- Records as they come: adjusted fines, partial reversals, sums without a line, shorter ids. What a
-- table of release 0.3.0 has no column for stands in a table of its own, with the same key.

-- What changes in the library have left of a fine beside its row. `fine.amount` is the amount as
-- adjusted, and `amount_created` the amount with which the fine came; NULL: it was never adjusted.
-- The instants are the latest ones of an adjustment, and of a dispute or its end: an older record
-- that comes later is overtaken. `unconfirmed` marks a credit that an imported file made and that a
-- person has to confirm.
CREATE TABLE fine_amendment (
    institution_id key_text NOT NULL,
    fine_id key_text NOT NULL,
    amount_created bigint CHECK (amount_created <> 0),
    adjusted_at timestamptz,
    disputed_at timestamptz,
    unconfirmed boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (institution_id, fine_id)
);

-- The amount as adjusted, and at the end that of the creation; the other columns are as before.
CREATE OR REPLACE VIEW report_fine AS
SELECT
    fine.institution_id,
    fine.fine_id,
    fine.patron_id,
    fine.currency,
    fine.type,
    fine.amount,
    fine.status,
    fine.considered,
    fine.remaining,
    fine.outstanding,
    fine.line AS bursar_transaction_id,
    line.profile,
    line.batch_number,
    fine.status_code,
    fine.refused_reason,
    fine.exportable OR fine.released AS exportable,
    fine.credit_of,
    fine.loan_id,
    fine.created_at,
    fine.changed_at,
    coalesce(amendment.amount_created, fine.amount) AS amount_created
FROM fine
LEFT JOIN export_line AS line
    ON fine.institution_id = line.institution_id AND fine.line = line.bursar_transaction_id
LEFT JOIN fine_amendment AS amendment
    ON fine.institution_id = amendment.institution_id AND fine.fine_id = amendment.fine_id;
COMMENT ON VIEW report_fine IS
'Every fine now; amount as adjusted and as created; profile and batch of its live line';

-- The credits of a fine.
CREATE INDEX fine_of_credit ON fine (institution_id, credit_of) WHERE credit_of IS NOT NULL;

-- How much of a payment has been reversed. `payment.reversed_by` is set when nothing is left, so
-- that older releases understand it. Several reversals may name one payment, and this row, not an
-- index, forbids that they reverse more than all of it.
CREATE TABLE payment_reversed (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    payment_id key_text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    payment_amount bigint NOT NULL,
    PRIMARY KEY (institution_id, source, payment_id),
    CHECK (amount <= payment_amount)
);
DROP INDEX payment_reversed_once;

-- Payments that name a patron alone: sums without a line. `rule` is the institution's setting when
-- the sum came, or `oldest_first` since a person has released it; `allocations` are the fines and
-- amounts that the person has named. A sum that `waits` is tried again when a debit of its account
-- gets outstanding; `tried` is the last sequence of the account when it was tried last. `arrival`
-- numbers the sums in the order in which they came.
CREATE TABLE payment_sum (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    payment_id key_text NOT NULL,
    patron_id key_text NOT NULL,
    currency key_text NOT NULL,
    rule text NOT NULL CHECK (rule IN ('hold', 'oldest_first')),
    tried bigint NOT NULL CHECK (tried >= 0),
    waits boolean NOT NULL,
    allocations jsonb,
    arrival bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    PRIMARY KEY (institution_id, source, payment_id),
    CHECK (rule = 'oldest_first' OR NOT waits)
);
CREATE INDEX payment_sum_of_account
ON payment_sum (institution_id, patron_id, currency, waits, arrival);
CREATE INDEX payment_sum_waiting ON payment_sum (arrival) WHERE waits;

-- The fines that a sum has paid, in the order in which it paid them.
CREATE TABLE payment_part (
    institution_id key_text NOT NULL,
    source key_text NOT NULL,
    payment_id key_text NOT NULL,
    place integer NOT NULL CHECK (place >= 1),
    fine_id key_text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (institution_id, source, payment_id, place)
);
CREATE INDEX payment_part_of_fine ON payment_part (institution_id, fine_id);

-- A sum waits for a person, or until something is outstanding. It has no fine when it is applied,
-- and neither has its reversal. Every row satisfies the wider condition, so none is read for it.
ALTER TABLE parked DROP CONSTRAINT parked_wait_check;
ALTER TABLE parked ADD CONSTRAINT parked_wait_check CHECK (
    wait IN ('unknown_fine', 'not_exported', 'unknown_original', 'overpaid_held', 'unallocated')
) NOT VALID;
ALTER TABLE payment DROP CONSTRAINT payment_check3;
ALTER TABLE payment ADD CONSTRAINT payment_check3 CHECK (
    state <> 'applied'
    OR fine_id IS NOT NULL
    OR (kind NOT IN ('write_off', 'status') AND bursar_transaction_id IS NULL)
) NOT VALID;

CREATE VIEW report_sum AS
SELECT
    kept.institution_id,
    kept.source,
    kept.payment_id,
    kept.patron_id,
    kept.currency,
    kept.rule,
    (
        SELECT array_agg(part.fine_id::text ORDER BY part.place)
        FROM payment_part AS part
        WHERE
            part.institution_id = kept.institution_id
            AND part.source = kept.source
            AND part.payment_id = kept.payment_id
    ) AS fines
FROM payment_sum AS kept;
COMMENT ON VIEW report_sum IS
'Payments that name a patron alone: the account, its rule, and the fines that were paid, in order';

-- The lines of batches, with what stands of payments and of the parts of sums; the
-- columns are those of before.
CREATE OR REPLACE VIEW report_line AS
SELECT
    line.institution_id,
    line.profile,
    line.batch_number,
    line.bursar_transaction_id,
    line.fine_id,
    fine.patron_id,
    line.currency,
    line.amount,
    line.state,
    line.reason AS refused_reason,
    fine.status AS fine_status,
    CASE WHEN line.state = 'live' THEN fine.outstanding ELSE 0 END AS outstanding,
    CASE WHEN line.state = 'live' THEN coalesce(settled.paid, 0) ELSE 0 END AS paid,
    CASE WHEN line.state = 'live' THEN coalesce(settled.written_off, 0) ELSE 0 END AS written_off
FROM export_line AS line
INNER JOIN fine USING (institution_id, fine_id)
LEFT JOIN LATERAL ( -- noqa: ST05
    SELECT
        coalesce(sum(standing.amount) FILTER (WHERE standing.kind = 'payment'), 0)::bigint AS paid,
        coalesce(sum(standing.amount) FILTER (WHERE standing.kind = 'write_off'), 0)::bigint
            AS written_off
    FROM (
        SELECT
            payment.kind,
            payment.applied - coalesce((
                SELECT reversed.amount FROM payment_reversed AS reversed
                WHERE
                    reversed.institution_id = payment.institution_id
                    AND reversed.source = payment.source
                    AND reversed.payment_id = payment.payment_id
            ), 0) AS amount
        FROM payment
        WHERE
            payment.institution_id = line.institution_id
            AND payment.fine_id = line.fine_id
            AND payment.state = 'applied'
            AND payment.kind IN ('payment', 'write_off')
            AND payment.reversed_by IS NULL
        UNION ALL
        SELECT
            'payment' AS kind,
            part.amount
        FROM payment_part AS part
        WHERE
            part.institution_id = line.institution_id
            AND part.fine_id = line.fine_id
            AND (
                SELECT payment.reversed_by IS NULL FROM payment
                WHERE
                    payment.institution_id = part.institution_id
                    AND payment.source = part.source
                    AND payment.payment_id = part.payment_id
            )
    ) AS standing
) AS settled ON TRUE;

-- Bursar transaction ids of 11 digits: ten from this counter and a check digit. Older releases draw
-- theirs from `export_counter`, also while they run beside this one.
CREATE TABLE line_counter (
    institution_id key_text PRIMARY KEY,
    line_number bigint NOT NULL CHECK (line_number BETWEEN 1000000001 AND 9999999999)
);

-- The timestamp of a record in Kafka, in milliseconds: the time of an event that names none.
-- Without it a record that is decided again later would be of another time. NULL: an earlier
-- release has written the row.
ALTER TABLE rejected ADD COLUMN record_timestamp_ms bigint;
ALTER TABLE parked_error ADD COLUMN record_timestamp_ms bigint;

-- The bytes of parked records that releases up to 0.3.0 cannot read, as they came. Such a release
-- sets parked records free as well, so that `parked` has these in a form that it reads. A row ends
-- with its parked record, whoever deletes that.
CREATE TABLE parked_original (
    institution_id key_text NOT NULL,
    record text NOT NULL,
    source key_text NOT NULL,
    id key_text NOT NULL,
    record_value bytea NOT NULL,
    record_headers bytea NOT NULL,
    PRIMARY KEY (institution_id, record, source, id),
    FOREIGN KEY (institution_id, record, source, id) REFERENCES parked ON DELETE CASCADE
);

-- What an open run has held back for reasons that release 0.3.0 does not know: it could not
-- continue a run that has them in `export_run.held_back`. A run that has ended has all its counts
-- there.
CREATE TABLE export_run_held_back (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    run_id key_text NOT NULL,
    held_back jsonb NOT NULL,
    PRIMARY KEY (institution_id, profile)
);

-- Credits that wait for a person.
CREATE INDEX fine_unconfirmed ON fine_amendment (institution_id, fine_id) WHERE unconfirmed;
