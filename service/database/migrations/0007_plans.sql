-- What the service does by itself and only once in a while, whichever instance does it.
-- `next_at` is when it is due, by the database's clock; a try moves it on before it begins, so that
-- a try that fails is not repeated at once, by nobody. `attempts` counts tries since the last
-- success. `findings` is what the last one found.
CREATE TABLE upkeep_turn (
    task key_text PRIMARY KEY,
    next_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    ended_at timestamptz,
    findings bigint NOT NULL DEFAULT 0 CHECK (findings >= 0)
);
INSERT INTO upkeep_turn (task, next_at) VALUES ('reconcile', clock_timestamp());

-- The decisions on a fine, a payment or a rejected record: a release of all held fines writes as
-- many rows as there are fines, and every history and every `show` asks for the rows of one.
CREATE INDEX operator_action_subject ON operator_action USING gin (subject jsonb_path_ops)
WITH (fastupdate = off);

-- The answers to a batch. There are about as many answers as batches, so the index costs little.
CREATE INDEX export_response_of_batch
ON export_response (institution_id, profile, batch_number);

-- Runs that sealed nothing are deleted when the profile's next run closes; this index finds them
-- without reading the runs that did seal something, which stay.
CREATE INDEX export_run_empty ON export_run (institution_id, profile, cutoff)
WHERE state = 'closed' AND parts = 0;
