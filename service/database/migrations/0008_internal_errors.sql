-- Parked records that the program failed on: they can be read no more, or deciding them raises. The
-- record stays in `parked`, under its identity and in its queue, and is not read until a person
-- releases or discards it. A row ends with its parked record, whoever deletes that.
CREATE TABLE parked_failure (
    institution_id key_text NOT NULL,
    record text NOT NULL,
    source key_text NOT NULL,
    id key_text NOT NULL,
    error text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (institution_id, record, source, id),
    FOREIGN KEY (institution_id, record, source, id) REFERENCES parked ON DELETE CASCADE
);
