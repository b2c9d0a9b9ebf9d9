-- What the metrics of a service show although another process did it, or nobody did.

-- What commands have counted in the commits that did it: a service takes the rows over into its own
-- counters and deletes them. Commands have no port where anybody could ask them.
CREATE TABLE command_tally (
    tally_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric key_text NOT NULL,
    labels text [] NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0)
);

-- When the last run of a profile that went to its end did so, whoever ran it. Kept beside
-- export_run, because a new column there would end statements that older releases have prepared.
-- A run that an older release closes leaves no row: then its cutoff counts.
CREATE TABLE export_run_end (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, profile)
);

-- When a source sent a sound record last, to within some minutes. `topic` is the contract; fines
-- name no source, so an institution has one row for all of them (source 'any').
CREATE TABLE source_seen (
    institution_id key_text NOT NULL,
    topic key_text NOT NULL,
    source key_text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (institution_id, topic, source)
);

-- Batches without an answer so far: the answered ones are not read to find them.
CREATE INDEX export_batch_unanswered ON export_batch (institution_id, profile, sealed_at)
WHERE state = 'sealed';
