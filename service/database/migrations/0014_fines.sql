-- Profiles whose runs a person has stopped; fines that no profile takes; payments in order of time.

-- A profile with a row here is not run, until the row is deleted. Releases before this one do not
-- know the table, and an instance of one goes on running the profile.
CREATE TABLE export_pause (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    operator text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (institution_id, profile)
);

-- The payments of each source since an instant, page by page. An index is no new column: releases
-- that read all columns of the table go on.
CREATE INDEX payment_of_source ON payment (institution_id, source, paid_at, payment_id);

-- Counting the fines that no profile takes reads all open fines: one instance does it for all.
INSERT INTO upkeep_turn (task, next_at) VALUES ('no_profile', clock_timestamp());
