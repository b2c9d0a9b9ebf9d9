-- name: open_run
-- The run that is open, or a new one: its cutoff is the database's clock in milliseconds.
INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)
VALUES ($1, $2, $3, date_trunc('milliseconds', clock_timestamp()), 'open')
ON CONFLICT (institution_id, profile) WHERE state = 'open' DO NOTHING;

-- name: lock_schedule
-- Exporters that find a profile due at the same time take turns.
SELECT FROM profile_seen
WHERE institution_id = $1 AND profile = $2
FOR UPDATE;

-- name: open_due_run
-- The same, unless the profile is paused, or a run began since the schedule was looked at ($4: the
-- newest cutoff then). A run with a cutoff still to come was begun by a clock that was ahead: it is
-- not of this time.
INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)
SELECT
    $1::key_text AS institution_id,
    $2::key_text AS profile,
    $3::key_text AS run_id,
    date_trunc('milliseconds', clock_timestamp()) AS cutoff,
    'open' AS state
WHERE NOT EXISTS (
    SELECT FROM export_run
    WHERE
        institution_id = $1::key_text
        AND profile = $2::key_text
        AND ($4::timestamptz IS NULL OR cutoff > $4)
        AND cutoff <= clock_timestamp()
)
AND NOT EXISTS (
    SELECT FROM export_pause
    WHERE
        institution_id = $1::key_text
        AND profile = $2::key_text
)
ON CONFLICT (institution_id, profile) WHERE state = 'open' DO NOTHING;

-- name: run
SELECT
    run.institution_id, run.profile, run.run_id, run.cutoff, run.held_back, run.after_patron,
    run.after_fine, run.taken, run.parts, run.state,
    later.held_back AS held_back_later
FROM export_run AS run
LEFT JOIN export_run_held_back AS later USING (institution_id, profile, run_id)
WHERE run.institution_id = $1 AND run.profile = $2 AND run.state = 'open';

-- name: lock_run
-- Before the accounts: a second exporter waits here and then goes on in the run.
SELECT
    run.institution_id, run.profile, run.run_id, run.cutoff, run.held_back, run.after_patron,
    run.after_fine, run.taken, run.parts, run.state,
    later.held_back AS held_back_later
FROM export_run AS run
LEFT JOIN export_run_held_back AS later USING (institution_id, profile, run_id)
WHERE run.institution_id = $1 AND run.profile = $2 AND run.state = 'open'
FOR UPDATE OF run;

-- name: advance_run
UPDATE export_run
SET
    after_patron = $4,
    after_fine = $5,
    taken = $6,
    parts = $7,
    held_back = $8::jsonb,
    state = $9
WHERE institution_id = $1 AND profile = $2 AND run_id = $3;

-- name: put_later_held_back
-- What an open run has held back for reasons on which release 0.3.0 would fail, if it continued the
-- run. The row of an earlier run is replaced.
INSERT INTO export_run_held_back (institution_id, profile, run_id, held_back)
VALUES ($1, $2, $3, $4::jsonb)
ON CONFLICT (institution_id, profile) DO UPDATE
    SET
        run_id = excluded.run_id,
        held_back = excluded.held_back;

-- name: put_run_end
-- The profile's run that closes now went to its end.
INSERT INTO export_run_end (institution_id, profile, ended_at)
VALUES ($1, $2, clock_timestamp())
ON CONFLICT (institution_id, profile) DO UPDATE SET ended_at = excluded.ended_at;

-- name: delete_empty_runs
-- Closed runs of a profile that sealed nothing, older than its run that closes now ($3: its
-- cutoff): nothing refers to them, and schedules go by the newest run. Only the $4 oldest ones, so
-- that a table that grew under an older release shrinks in small steps. A closed run is never
-- updated, so that its place (ctid) is still its own when it is deleted.
DELETE FROM export_run
WHERE
    ctid = any(
        array(
            SELECT empty.ctid FROM export_run AS empty
            WHERE
                empty.institution_id = $1
                AND empty.profile = $2
                AND empty.state = 'closed'
                AND empty.parts = 0
                AND empty.cutoff < $3
            ORDER BY empty.cutoff
            LIMIT $4
        )
    );

-- name: plan
-- How far the run has looked beyond its mark. One that began at another mark is void: an exporter
-- of an older release has gone on without it.
SELECT
    looked_patron,
    looked_fine,
    patron_ids,
    fine_ids,
    sizes_bytes,
    held_back
FROM export_plan
WHERE
    institution_id = $1
    AND profile = $2
    AND run_id = $3
    AND (after_patron, after_fine) = ($4, $5);

-- name: put_plan
-- The run is locked. A plan of an earlier run that an older release closed is replaced.
INSERT INTO export_plan (
    institution_id, profile, run_id, after_patron, after_fine, looked_patron, looked_fine,
    patron_ids, fine_ids, sizes_bytes, held_back
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
ON CONFLICT (institution_id, profile) DO UPDATE
    SET
        run_id = excluded.run_id,
        after_patron = excluded.after_patron,
        after_fine = excluded.after_fine,
        looked_patron = excluded.looked_patron,
        looked_fine = excluded.looked_fine,
        patron_ids = excluded.patron_ids,
        fine_ids = excluded.fine_ids,
        sizes_bytes = excluded.sizes_bytes,
        held_back = excluded.held_back;

-- name: drop_plan
-- Its batch is sealed, or nothing of it was due any more.
DELETE FROM export_plan
WHERE institution_id = $1 AND profile = $2;

-- name: see_profiles
-- When each profile was first read here. The times of a cron expression count from then on.
INSERT INTO profile_seen (institution_id, profile, since)
SELECT
    k.institution_id,
    k.profile,
    clock_timestamp() AS since
FROM unnest($1::text [], $2::text []) AS k (institution_id, profile)
ORDER BY k.institution_id COLLATE "C", k.profile COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: institutions_without_profiles
-- Of these, the institutions for which no profile was ever seen and nothing was ever exported.
SELECT k.institution_id
FROM unnest($1::text []) AS k (institution_id)
WHERE
    NOT EXISTS (
        SELECT FROM profile_seen AS known
        WHERE known.institution_id = k.institution_id
    )
    AND NOT EXISTS (
        SELECT FROM export_counter AS counter
        WHERE counter.institution_id = k.institution_id
    );

-- name: correct_profile_starts
-- A profile that was first seen by a clock that was ahead.
UPDATE profile_seen
SET since = clock_timestamp()
WHERE since > clock_timestamp();

-- name: profile_runs
-- The latest run, and where the open one is: an index answers both, however many runs there were.
-- Runs of a clock that was ahead do not count, or nothing would be due until that time has come.
SELECT
    institution_id,
    profile,
    since,
    (
        SELECT max(run.cutoff) FROM export_run AS run
        WHERE
            run.institution_id = profile_seen.institution_id
            AND run.profile = profile_seen.profile
            AND run.cutoff <= now()
    ) AS last_cutoff,
    (
        SELECT run.run_id FROM export_run AS run
        WHERE
            run.institution_id = profile_seen.institution_id
            AND run.profile = profile_seen.profile
            AND run.state = 'open'
    ) AS open_run_id,
    (
        SELECT run.parts FROM export_run AS run
        WHERE
            run.institution_id = profile_seen.institution_id
            AND run.profile = profile_seen.profile
            AND run.state = 'open'
    ) AS open_parts,
    exists(
        SELECT FROM export_pause AS pause
        WHERE
            pause.institution_id = profile_seen.institution_id
            AND pause.profile = profile_seen.profile
    ) AS is_paused
FROM profile_seen;

-- name: clock
-- Schedules go by this clock alone.
SELECT clock_timestamp() AS clock;

-- name: open_fines
-- A page of what a run looks at, disputed ones too: they are held back and counted.
SELECT
    f.institution_id, f.fine_id, f.patron_id, f.currency, f.type, f.amount, f.owner, f.created_at,
    f.comment, f.loan_id, f.item, f.credit_of, f.exportable, f.digest, f.status, f.considered,
    f.remaining, f.outstanding, f.line, f.terms_id, f.payments_live, f.status_code,
    f.refused_reason, f.released, f.changed_at, a.amount_created, a.adjusted_at, a.disputed_at,
    a.unconfirmed,
    f.xmin AS version
FROM fine AS f
LEFT JOIN fine_amendment AS a USING (institution_id, fine_id)
WHERE
    f.institution_id = $1 AND f.currency = $2 AND f.status IN ('Active', 'In dispute')
    AND (f.patron_id, f.fine_id) > ($3, $4)
ORDER BY f.patron_id, f.fine_id
LIMIT $5;

-- name: fines_with_failed_changes
-- Of these fines, those with a change that waits for a person because the program failed on it: it
-- is not known what they owe. Few changes ever fail, so all of the institution's are read. What is
-- marked on trial, in this very transaction, holds no fine: the trial would be of another batch. A
-- change that waits because its topic is stopped is not decided either.
SELECT parked.fine_id
FROM parked_failure AS failure
INNER JOIN parked USING (institution_id, record, source, id)
WHERE
    failure.institution_id = $1
    AND failure.record = 'change'
    AND failure.error <> 'trial'
    AND parked.fine_id = any($2::text [])
UNION
SELECT parked_error.fine_id
FROM parked_error
WHERE
    parked_error.institution_id = $1
    AND parked_error.fine_id = any($2::text [])
UNION
SELECT waiting.fine_id
FROM stopped_record AS waiting
WHERE
    waiting.institution_id = $1
    AND waiting.fine_id = any($2::text [])
UNION
-- Parked records that a preview cannot mark.
SELECT parked.fine_id
FROM unnest($3::text [], $4::text []) AS k (source, id)
INNER JOIN parked USING (source, id)
WHERE
    parked.institution_id = $1
    AND parked.record = 'change'
    AND parked.fine_id = any($2::text []);

-- name: created_later
-- Which of these fines came into the ledger after the cutoff of a run ($3, in milliseconds): the
-- ledger keeps when, their rows do not. A fine's first transaction is its creation, and is found by
-- the index alone. What a clock that was ahead has recorded counts as earlier: it would wait until
-- that time otherwise.
SELECT named.fine_id
FROM unnest($2::text []) AS named (fine_id)
CROSS JOIN LATERAL (
    SELECT ledger.recorded_at
    FROM ledger_transaction AS ledger
    WHERE
        ledger.institution_id = $1
        AND ledger.fine_id = named.fine_id
    ORDER BY ledger.institution_id, ledger.fine_id, ledger.sequence
    LIMIT 1
) AS creation
WHERE
    date_trunc('milliseconds', creation.recorded_at) > $3
    AND creation.recorded_at <= clock_timestamp();

-- name: open_fines_left
-- The most that a run has before it: not all of it is due, some is held back. Counted up to $5.
SELECT count(*)::bigint AS fines
FROM (
    SELECT FROM fine
    WHERE
        institution_id = $1
        AND status IN ('Active', 'In dispute')
        AND currency = $2
        AND (patron_id, fine_id) > ($3, $4)
    ORDER BY patron_id, fine_id
    LIMIT $5
) AS counted;

-- name: open_fines_of_patrons
-- A page of the same for some patrons, without the fines $6, which the caller has already read.
SELECT
    f.institution_id, f.fine_id, f.patron_id, f.currency, f.type, f.amount, f.owner, f.created_at,
    f.comment, f.loan_id, f.item, f.credit_of, f.exportable, f.digest, f.status, f.considered,
    f.remaining, f.outstanding, f.line, f.terms_id, f.payments_live, f.status_code,
    f.refused_reason, f.released, f.changed_at, a.amount_created, a.adjusted_at, a.disputed_at,
    a.unconfirmed
FROM fine AS f
LEFT JOIN fine_amendment AS a USING (institution_id, fine_id)
WHERE
    f.institution_id = $1 AND f.currency = $2 AND f.status IN ('Active', 'In dispute')
    AND (f.patron_id, f.fine_id) > ($3, $4) AND f.patron_id = any($5::text [])
    AND f.fine_id NOT IN (SELECT unnest($6::text []))
ORDER BY f.patron_id, f.fine_id
LIMIT $7;

-- name: live_lines_of_fines
-- The live line and type of the fines that credits refer to.
SELECT
    fine.fine_id,
    fine.line,
    fine.type
FROM unnest($1::text [], $2::text []) AS k (institution_id, fine_id)
INNER JOIN fine USING (institution_id, fine_id)
WHERE fine.line IS NOT NULL;

-- name: take_export_number
-- Counter rows, not sequences: a rollback gives the numbers back. Releases up to 0.6.0 take the ids
-- of their lines from this row as well, also while they run beside this one.
INSERT INTO export_counter AS counter (institution_id, export_number, bursar_transaction_id)
VALUES ($1, 100000000000001, 1000000000000000)
ON CONFLICT (institution_id) DO UPDATE SET export_number = counter.export_number + 1
RETURNING export_number;

-- name: take_line_numbers
-- The last one of $2 numbers for lines; no row if fewer are left. The institution's row of
-- `export_counter` is locked already.
INSERT INTO line_counter AS counter (institution_id, line_number)
VALUES ($1, 1000000000 + $2::bigint)
ON CONFLICT (institution_id) DO UPDATE SET line_number = counter.line_number + $2::bigint
    WHERE counter.line_number + $2::bigint <= 9999999999
RETURNING line_number;

-- name: lock_profile_counter
SELECT
    batch_number,
    sha256
FROM profile_counter
WHERE institution_id = $1 AND profile = $2
FOR UPDATE;

-- name: set_profile_counter
INSERT INTO profile_counter (institution_id, profile, batch_number, sha256)
VALUES ($1, $2, $3, $4)
ON CONFLICT (institution_id, profile) DO UPDATE
    SET
        batch_number = excluded.batch_number,
        sha256 = excluded.sha256;

-- name: next_numbers
-- What the counters would give next, without taking it.
WITH batches AS (
    SELECT
        batch_number,
        sha256
    FROM profile_counter
    WHERE institution_id = $1 AND profile = $2
),

exports AS (
    SELECT export_number
    FROM export_counter
    WHERE institution_id = $1
),

lines AS (
    SELECT line_number
    FROM line_counter
    WHERE institution_id = $1
)

SELECT
    coalesce((SELECT batches.batch_number FROM batches), 0) + 1 AS batch_number,
    (SELECT batches.sha256 FROM batches) AS sha256,
    coalesce((SELECT exports.export_number FROM exports), 100000000000000) + 1 AS export_number,
    coalesce((SELECT lines.line_number FROM lines), 1000000000) + 1 AS first_line_number;

-- name: seal_batch
-- Right after the document was put into the outbox: as long as that row or the one of the manifest
-- ($18) is there, the broker has not acknowledged both.
INSERT INTO export_batch (
    institution_id, profile, batch_number, run_id, export_number, state, currency, fine_count,
    total, file_name, sha256, previous_sha256, document, document_headers, manifest,
    manifest_headers, cutoff, sealed_at, outbox_id, manifest_outbox_id
)
VALUES (
    $1, $2, $3, $4, $5, 'sealed', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    currval(pg_get_serial_sequence('outbox', 'id')), $18
);

-- name: sealed_bytes
-- What was published, to be published again: reading, not rendering.
SELECT
    document,
    document_headers,
    manifest,
    manifest_headers,
    institution_id || '/' || profile AS record_key,
    floor(extract(EPOCH FROM document_removed_at - sealed_at) / 86400)::bigint
        AS removed_after_days
FROM export_batch
WHERE institution_id = $1 AND profile = $2 AND batch_number = $3;

-- name: lock_wait
-- How long this transaction waits for a lock, as set_lock_wait takes it.
SELECT current_setting('lock_timeout');

-- name: set_lock_wait
-- For the rest of the transaction.
SELECT set_config('lock_timeout', $1, TRUE);
