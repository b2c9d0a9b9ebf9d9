-- How this database is recognised as older than Kafka, and what was found.

-- Each process counts its commits here, in a row for each of its writers. A database in which a
-- row is missing, or counts less than the process remembers, is not the one it has written to.
-- Never shared between processes: another one's commits would hide that ours are gone.
CREATE TABLE process_commit (
    process_id key_text NOT NULL,
    writer key_text NOT NULL,
    commits bigint NOT NULL DEFAULT 0 CHECK (commits >= 0),
    touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (process_id, writer)
) WITH (fillfactor = 50);

-- At most one row: as long as it is there, nothing is written but by `restore-check clear`.
CREATE TABLE restore_verdict (
    singleton boolean PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    finding text NOT NULL,
    detail text NOT NULL,
    evidence jsonb NOT NULL,
    found_by text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Up to which offset a person has passed over what an output topic held: not this database's.
CREATE TABLE output_accepted (
    topic key_text NOT NULL,
    partition integer NOT NULL,
    accepted_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
