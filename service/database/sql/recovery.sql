-- name: try_lock
-- One recovery at a time; the lock ends with the session.
SELECT pg_try_advisory_lock($1::bigint);

-- name: lock_writers
-- Waits until no transaction of another writer is open: each has counted itself in this table.
-- Those that begin later wait here, and then see the verdict.
LOCK TABLE process_commit IN SHARE ROW EXCLUSIVE MODE;

-- name: unfinished
-- The recovery that is not done, if there is one.
SELECT
    epoch,
    state
FROM recovery
WHERE state <> 'done';

-- name: state
-- How far a recovery is.
SELECT state
FROM recovery
WHERE epoch = $1;

-- name: end_reading
-- Another database was restored before the service had read everything: the new recovery goes on
-- with what the former one has left.
UPDATE recovery
SET
    state = 'done',
    ended_at = clock_timestamp()
WHERE state = 'reading';

-- name: begin
-- The epoch is above every one that this database knows.
INSERT INTO recovery (epoch, state, finding, evidence, operator, started_at)
SELECT
    1 + greatest(
        (SELECT coalesce(max(account.epoch), 1) FROM account),
        (SELECT coalesce(max(former.epoch), 1) FROM recovery AS former)
    ) AS epoch,
    'adopting' AS state,
    $1::text AS finding,
    $2::jsonb AS evidence,
    $3::text AS operator,
    clock_timestamp() AS started_at
RETURNING epoch;

-- name: raise_epoch
-- The topics hold a higher epoch than this database knew of.
UPDATE recovery
SET epoch = $2
WHERE epoch = $1;

-- name: put_accounts
-- The highest published event of each account that is beyond what this database knows of it.
INSERT INTO recovery_account AS kept (
    institution_id, patron_id, currency, epoch, own_epoch, own_sequence, published_epoch,
    published_sequence, published_active, published_transferred, last_event, raised_to
)
SELECT
    k.institution_id,
    k.patron_id,
    k.currency,
    $1::integer AS epoch,
    coalesce(account.epoch, 1) AS own_epoch,
    coalesce(account.sequence, 0) AS own_sequence,
    k.published_epoch,
    k.published_sequence,
    k.active,
    k.transferred,
    k.last_event::jsonb AS last_event,
    greatest(k.published_sequence, account.sequence, 0) AS raised_to
FROM unnest(
    $2::text [], $3::text [], $4::text [], $5::integer [], $6::bigint [], $7::bigint [],
    $8::bigint [], $9::text []
) AS k (
    institution_id, patron_id, currency, published_epoch, published_sequence, active, transferred,
    last_event
)
LEFT JOIN account USING (institution_id, patron_id, currency)
WHERE
    (k.published_epoch, k.published_sequence)
    > (coalesce(account.epoch, 1), coalesce(account.sequence, 0))
ON CONFLICT (institution_id, patron_id, currency, epoch) DO UPDATE
    SET
        published_epoch = excluded.published_epoch,
        published_sequence = excluded.published_sequence,
        published_active = excluded.published_active,
        published_transferred = excluded.published_transferred,
        last_event = excluded.last_event,
        raised_to = greatest(kept.raised_to, excluded.published_sequence)
    WHERE
        (excluded.published_epoch, excluded.published_sequence)
        > (kept.published_epoch, kept.published_sequence);

-- name: insert_accounts
-- Accounts that only the topic knows: their numbers are used.
INSERT INTO account (institution_id, patron_id, currency)
SELECT
    institution_id,
    patron_id,
    currency
FROM recovery_account
WHERE epoch = $1 AND own_sequence = 0
ORDER BY institution_id, patron_id, currency
ON CONFLICT DO NOTHING;

-- name: count_accounts
-- All accounts, for the progress bar.
SELECT count(*)::bigint AS accounts
FROM account;

-- name: raise_accounts
-- The next accounts behind a key: all get the epoch, and those whose readers were ahead continue
-- behind what was published. An account that was raised already stays as it is.
WITH page AS (
    SELECT
        institution_id,
        patron_id,
        currency
    FROM account
    WHERE (institution_id, patron_id, currency) > ($2, $3, $4)
    ORDER BY institution_id, patron_id, currency
    LIMIT $5
    FOR UPDATE
),

raised AS (
    UPDATE account
    SET
        epoch = $1,
        sequence = greatest(account.sequence, coalesce(kept.raised_to, 0))
    FROM page
    LEFT JOIN recovery_account AS kept
        ON
            page.institution_id = kept.institution_id
            AND page.patron_id = kept.patron_id
            AND page.currency = kept.currency
            AND kept.epoch = $1
    WHERE
        account.institution_id = page.institution_id
        AND account.patron_id = page.patron_id
        AND account.currency = page.currency
        AND account.epoch < $1
)

SELECT
    institution_id,
    patron_id,
    currency
FROM page
ORDER BY institution_id, patron_id, currency;

-- name: tails
-- The last batch of each profile.
SELECT
    institution_id,
    profile,
    batch_number,
    encode(sha256, 'hex') AS sha256
FROM profile_counter;

-- name: export_numbers_taken
-- Those of the numbers that batches of this database have.
SELECT
    k.institution_id,
    k.export_number
FROM unnest($1::text [], $2::numeric []) AS k (institution_id, export_number)
INNER JOIN export_batch AS batch
    ON k.institution_id = batch.institution_id AND k.export_number = batch.export_number;

-- name: count_lines_taken
-- How many of the bursar transaction ids lines of this database have.
SELECT count(*)::bigint AS lines
FROM export_line
WHERE institution_id = $1 AND bursar_transaction_id = any($2::text []);

-- name: put_adopted_batch
INSERT INTO adopted_batch (institution_id, profile, batch_number, epoch, terms_id, document)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: put_export_batch
-- No row of the outbox has the id 0: the batch counts as published.
INSERT INTO export_batch (
    institution_id, profile, batch_number, run_id, export_number, state, currency, fine_count,
    total, file_name, sha256, previous_sha256, document, document_headers, manifest,
    manifest_headers, cutoff, sealed_at, outbox_id, manifest_outbox_id
)
VALUES (
    $1, $2, $3, $4, $5, 'sealed', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, 0
);

-- name: put_lines
-- The lines of a batch, in the order of its manifest; each waits for its fine.
INSERT INTO adopted_line (
    institution_id, bursar_transaction_id, fine_id, profile, batch_number, place, amount, currency,
    fine_status, terms_id, cutoff, export_number
)
SELECT
    $1::text AS institution_id,
    k.bursar_transaction_id,
    k.fine_id,
    $2::text AS profile,
    $3::bigint AS batch_number,
    k.place - 1 AS place,
    k.amount,
    $4::text AS currency,
    k.fine_status,
    $5::text AS terms_id,
    $6::timestamptz AS cutoff,
    $7::numeric AS export_number
FROM unnest($8::text [], $9::text [], $10::bigint [], $11::text []) WITH ORDINALITY
    AS k (bursar_transaction_id, fine_id, amount, fine_status, place);

-- name: put_patrons
-- Whose fines the lines are, from the events of their exports.
UPDATE adopted_line AS line
SET patron_id = k.patron_id
FROM unnest($1::text [], $2::text [], $3::text [])
    AS k (institution_id, bursar_transaction_id, patron_id)
WHERE
    line.institution_id = k.institution_id
    AND line.bursar_transaction_id = k.bursar_transaction_id
    AND line.patron_id IS NULL;

-- name: put_loans
-- The loans that lines which wait have closed, as the events said it. An event of a batch that was
-- not adopted counts for nothing: its fine is exported again.
INSERT INTO loan_closed (institution_id, loan_id, patron_id, fine_id, batch_number, closed_at)
SELECT
    k.institution_id,
    k.loan_id,
    k.patron_id,
    k.fine_id,
    k.batch_number,
    k.closed_at
FROM unnest($1::text [], $2::text [], $3::text [], $4::text [], $5::bigint [], $6::timestamptz [])
    AS k (institution_id, patron_id, loan_id, fine_id, batch_number, closed_at)
WHERE
    (
        SELECT TRUE FROM adopted_line AS line
        WHERE
            line.institution_id = k.institution_id
            AND line.fine_id = k.fine_id
            AND line.batch_number = k.batch_number
            AND line.cutoff = k.closed_at
            AND line.state = 'waiting'
        LIMIT 1
    )
ON CONFLICT DO NOTHING;

-- name: close_other_runs
-- A later run of the profile has begun, so that this one had ended without a batch.
UPDATE export_run
SET state = 'closed'
WHERE institution_id = $1 AND profile = $2 AND state = 'open' AND run_id <> $3;

-- name: put_run
-- The run of an adopted batch. One that has to be continued looks at all fines again: those that
-- were exported are not open any more.
INSERT INTO export_run (institution_id, profile, run_id, cutoff, parts, held_back, state)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7)
ON CONFLICT (institution_id, profile, run_id) DO UPDATE
    SET
        parts = greatest(export_run.parts, excluded.parts),
        held_back = CASE
            WHEN excluded.state = 'closed' THEN excluded.held_back ELSE export_run.held_back
        END,
        state = excluded.state;

-- name: put_run_end
-- When a run that ended with an adopted batch did so.
INSERT INTO export_run_end AS kept (institution_id, profile, ended_at)
VALUES ($1, $2, $3)
ON CONFLICT (institution_id, profile) DO UPDATE
    SET ended_at = greatest(kept.ended_at, excluded.ended_at);

-- name: drop_plan
-- What an open run had selected may have been exported meanwhile.
DELETE FROM export_plan
WHERE institution_id = $1 AND profile = $2;

-- name: set_profile_counter
INSERT INTO profile_counter (institution_id, profile, batch_number, sha256)
VALUES ($1, $2, $3, $4)
ON CONFLICT (institution_id, profile) DO UPDATE
    SET
        batch_number = excluded.batch_number,
        sha256 = excluded.sha256;

-- name: raise_export_counter
-- Export numbers, and the ids of 16 digits that releases up to 0.6.0 gave, above all published.
INSERT INTO export_counter AS kept (institution_id, export_number, bursar_transaction_id)
VALUES ($1, greatest($2::numeric, 100000000000000), greatest($3::numeric, 1000000000000000))
ON CONFLICT (institution_id) DO UPDATE
    SET
        export_number = greatest(kept.export_number, excluded.export_number),
        bursar_transaction_id
        = greatest(kept.bursar_transaction_id, excluded.bursar_transaction_id);

-- name: raise_line_counter
-- The numbers of which the ids of 11 digits are made, above all published.
INSERT INTO line_counter AS kept (institution_id, line_number)
VALUES ($1, $2)
ON CONFLICT (institution_id) DO UPDATE
    SET line_number = greatest(kept.line_number, excluded.line_number);

-- name: put_decisions
-- Decisions of people that this database lacks.
INSERT INTO recovery_decision (
    epoch, ce_id, action_id, action, institution_id, subject, details, outcome, recorded_at
)
SELECT
    $1::integer AS epoch,
    k.ce_id,
    k.action_id,
    k.action,
    k.institution_id,
    k.subject::jsonb AS subject,
    k.details::jsonb AS details,
    k.outcome,
    k.recorded_at
FROM unnest(
    $2::text [], $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::text [],
    $9::timestamptz []
) AS k (ce_id, action_id, action, institution_id, subject, details, outcome, recorded_at)
ON CONFLICT DO NOTHING;

-- name: raise_action_ids
-- The numbers of decisions go on above all published ones; a sequence is never set back.
SELECT setval(
    pg_get_serial_sequence('operator_action', 'action_id'),
    greatest(
        nextval(pg_get_serial_sequence('operator_action', 'action_id')),
        (
            SELECT coalesce(max(lost.action_id), 0) FROM recovery_decision AS lost
            WHERE lost.epoch = $1
        )
    )
);

-- name: clear_marks
-- Those of a recovery that was done; one that still reads needs its own.
DELETE FROM recovery_mark;

-- name: put_mark
INSERT INTO recovery_mark (topic, partition, next_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET next_offset = greatest(recovery_mark.next_offset, excluded.next_offset);

-- name: marks
-- How far each input partition has to be read, and how far it has been.
SELECT
    mark.topic,
    mark.partition,
    mark.next_offset,
    coalesce(kept.next_offset, 0) AS read_up_to
FROM recovery_mark AS mark
LEFT JOIN consumer_offset AS kept USING (topic, partition)
ORDER BY mark.topic, mark.partition;

-- name: set_accepted
-- What the output topics hold up to here was recovered. A topic that was made anew has lower
-- offsets than before.
INSERT INTO output_accepted (topic, partition, accepted_offset)
VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE
    SET accepted_offset = excluded.accepted_offset;

-- name: take_statistics
-- Lines are looked for from now on. As long as the planner believes that there are none it takes
-- any index of them, and reads all lines for each fine.
ANALYZE adopted_line;

-- name: begin_reading
UPDATE recovery
SET
    state = 'reading',
    reading_since = clock_timestamp()
WHERE epoch = $1 AND state = 'adopting';

-- name: end
-- Everything was read again, and the balances that readers lacked are published.
UPDATE recovery
SET
    state = 'done',
    ended_at = clock_timestamp()
WHERE epoch = $1 AND state = 'reading';

-- name: batches
-- The batches that a recovery has adopted ($1: its epoch; NULL: of all).
SELECT
    adopted.institution_id,
    adopted.profile,
    adopted.batch_number,
    batch.export_number::text AS export_number,
    batch.fine_count,
    batch.total,
    batch.currency,
    adopted.document,
    (
        SELECT count(*) FROM adopted_line AS line
        WHERE
            line.institution_id = adopted.institution_id
            AND line.profile = adopted.profile
            AND line.batch_number = adopted.batch_number
            AND line.state = 'waiting'
    ) AS waiting
FROM adopted_batch AS adopted
INNER JOIN export_batch AS batch USING (institution_id, profile, batch_number)
WHERE $1::integer IS NULL OR adopted.epoch = $1
ORDER BY adopted.institution_id, adopted.profile, adopted.batch_number;

-- name: accounts
-- The accounts of which readers knew more, as they were published last and as they are now.
-- $1: the epoch of a recovery; NULL: of all. $2: only those that differ now.
SELECT
    kept.institution_id,
    kept.patron_id,
    kept.currency,
    kept.epoch,
    kept.own_sequence,
    kept.published_sequence,
    kept.published_active,
    kept.published_transferred,
    account.active,
    account.transferred,
    kept.last_event ->> 'kind' AS last_kind,
    kept.last_event ->> 'fine_id' AS last_fine_id,
    kept.last_event ->> 'occurred_at' AS last_occurred_at,
    kept.announced_sequence
FROM recovery_account AS kept
INNER JOIN account USING (institution_id, patron_id, currency)
WHERE
    ($1::integer IS NULL OR kept.epoch = $1)
    AND (
        NOT $2::boolean
        OR (account.active, account.transferred)
        <> (kept.published_active, kept.published_transferred)
    )
ORDER BY kept.institution_id, kept.patron_id, kept.currency, kept.epoch;

-- name: decisions
-- The decisions of people that the restored database lacked ($1: as above). Those about the restore
-- check are left out: the recovery has taken their place, and nobody repeats them.
SELECT
    epoch,
    ce_id,
    action_id,
    action,
    institution_id,
    subject,
    details,
    outcome,
    recorded_at
FROM recovery_decision
WHERE ($1::integer IS NULL OR epoch = $1) AND NOT starts_with(action, 'restore_check_')
ORDER BY recorded_at, action_id;

-- name: accounts_to_announce
-- The next accounts whose readers know more than this database has published since.
SELECT
    institution_id,
    patron_id,
    currency
FROM recovery_account
WHERE NOT settled
ORDER BY institution_id, patron_id, currency
LIMIT $1;

-- name: last_transactions_to_announce
-- The same, under the locks of their accounts, with the last transaction of each. Without one
-- there is nothing to publish: the readers know of an account that this database never had.
SELECT
    kept.institution_id,
    kept.patron_id,
    kept.currency,
    kept.epoch AS recovery_epoch,
    kept.raised_to,
    account.sequence,
    account.epoch,
    account.active,
    account.transferred,
    latest.fine_id,
    latest.kind,
    latest.label,
    latest.amount,
    latest.active_change,
    latest.transferred_change,
    latest.comment,
    latest.cause,
    latest.occurred_at
FROM recovery_account AS kept
INNER JOIN account USING (institution_id, patron_id, currency)
LEFT JOIN LATERAL (
    SELECT
        ledger.fine_id, ledger.kind, ledger.label, ledger.amount, ledger.active_change,
        ledger.transferred_change, coalesce(ledger.comment, texts.comment) AS comment,
        ledger.cause, ledger.occurred_at
    FROM ledger_transaction AS ledger
    LEFT JOIN transaction_text AS texts USING (institution_id, patron_id, currency, sequence)
    WHERE
        ledger.institution_id = kept.institution_id
        AND ledger.patron_id = kept.patron_id
        AND ledger.currency = kept.currency
    ORDER BY ledger.sequence DESC
    LIMIT 1
) AS latest ON TRUE
WHERE
    NOT kept.settled
    AND (kept.institution_id, kept.patron_id, kept.currency) IN (
        SELECT k.institution_id, k.patron_id, k.currency
        FROM unnest($1::text [], $2::text [], $3::text [])
            AS k (institution_id, patron_id, currency)
    )
ORDER BY kept.institution_id, kept.patron_id, kept.currency, kept.epoch;

-- name: announce
-- The event of an account was queued once more: its number has no transaction.
UPDATE recovery_account
SET
    announced_sequence = $5,
    announced_id = $6,
    announced_at = $7,
    settled = TRUE
WHERE institution_id = $1 AND patron_id = $2 AND currency = $3 AND epoch = $4;

-- name: finish_account
-- The account has had events of its own since, or has none that could be published.
UPDATE recovery_account
SET settled = TRUE
WHERE institution_id = $1 AND patron_id = $2 AND currency = $3 AND epoch = $4;

-- name: number_account
UPDATE account
SET sequence = $4
WHERE institution_id = $1 AND patron_id = $2 AND currency = $3;

-- name: has_missing
-- Whether bytes of adopted batches are missing that nobody has tried to make again.
SELECT exists(
    SELECT FROM adopted_batch
    WHERE document = 'missing'
) AS has_missing;

-- name: printable
-- Batches without bytes of which every line was taken.
SELECT
    adopted.institution_id,
    adopted.profile,
    adopted.batch_number
FROM adopted_batch AS adopted
WHERE
    adopted.document = 'missing'
    AND NOT EXISTS (
        SELECT FROM adopted_line AS line
        WHERE
            line.institution_id = adopted.institution_id
            AND line.profile = adopted.profile
            AND line.batch_number = adopted.batch_number
            AND line.state <> 'taken'
    )
ORDER BY adopted.institution_id, adopted.profile, adopted.batch_number;

-- name: lock_unprinted
-- A batch whose bytes are missing. Another instance may have made them meanwhile.
SELECT
    batch.export_number,
    batch.currency,
    batch.fine_count,
    batch.total,
    batch.file_name,
    batch.sha256,
    batch.cutoff,
    batch.sealed_at
FROM adopted_batch AS adopted
INNER JOIN export_batch AS batch USING (institution_id, profile, batch_number)
WHERE
    adopted.institution_id = $1
    AND adopted.profile = $2
    AND adopted.batch_number = $3
    AND adopted.document = 'missing'
FOR UPDATE OF adopted;

-- name: lines_to_print
-- The lines of a batch, with the time of the fine's last transaction before that export.
SELECT
    line.fine_id,
    line.bursar_transaction_id,
    line.amount,
    line.fine_status,
    (
        SELECT earlier.occurred_at FROM ledger_transaction AS earlier
        WHERE
            earlier.institution_id = line.institution_id
            AND earlier.fine_id = line.fine_id
            AND earlier.sequence < (
                SELECT max(ledger.sequence) FROM ledger_transaction AS ledger
                WHERE
                    ledger.institution_id = line.institution_id
                    AND ledger.fine_id = line.fine_id
                    AND ledger.kind IN ('export', 'export_and_paid')
                    AND ledger.cause ->> 'bursar_transaction_id' = line.bursar_transaction_id
            )
        ORDER BY earlier.sequence DESC
        LIMIT 1
    ) AS changed_at
FROM adopted_line AS line
WHERE line.institution_id = $1 AND line.profile = $2 AND line.batch_number = $3
ORDER BY line.place;

-- name: put_bytes
-- Right after the document was put into the outbox.
UPDATE export_batch
SET
    document = $4,
    document_headers = $5,
    outbox_id = currval(pg_get_serial_sequence('outbox', 'id'))
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3;

-- name: set_document
-- Whether the bytes were made again, or came out as others than those of the manifest.
UPDATE adopted_batch
SET document = $4
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3;
