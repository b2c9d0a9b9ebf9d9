-- Topics that bad records in a row have stopped, for one institution or, with the empty text, for
-- all. `resumed_at`: a person has decided that what waits is taken; the row goes when nothing waits
-- any more. A topic that is stopped for all has nothing that waits here: its records stay in Kafka.
CREATE TABLE intake_stop (
    topic key_text NOT NULL,
    institution_id text COLLATE "C" NOT NULL,
    bad_records bigint NOT NULL,
    reason text NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    resumed_at timestamptz,
    PRIMARY KEY (topic, institution_id),
    CHECK (institution_id <> '' OR resumed_at IS NULL)
);

-- Bad records in a row: since the last sound record of the institution in the topic, and since the
-- last sound record of any institution in it. No row: none. The empty text stands for records that
-- name no institution.
CREATE TABLE bad_count (
    topic key_text NOT NULL,
    institution_id text COLLATE "C" NOT NULL,
    in_a_row bigint NOT NULL,
    in_topic bigint NOT NULL,
    PRIMARY KEY (topic, institution_id)
);

-- Records of a topic that is stopped for their institution, as they came: they are not decided. The
-- fine of a change is not exported while the change waits here.
CREATE TABLE stopped_record (
    arrival bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic key_text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    institution_id key_text NOT NULL,
    fine_id key_text,
    record_key bytea,
    record_value bytea,
    record_headers bytea NOT NULL,
    traceparent text,
    record_timestamp_ms bigint,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stopped_record_of_stop ON stopped_record (topic, institution_id, arrival);
CREATE INDEX stopped_record_at_place ON stopped_record (topic, partition, record_offset);
CREATE INDEX stopped_record_of_fine ON stopped_record (institution_id, fine_id)
WHERE fine_id IS NOT NULL;

-- Releases before this one do not look at the stops: they would decide newer records before those
-- that wait. For them a stopped topic is as if another session held its partitions, which they try
-- again after a while; the other topics go on. This release says in its statement that it looks.
CREATE FUNCTION require_view_of_stops() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('bursar.sees_stops', TRUE) IS DISTINCT FROM 'yes'
        AND EXISTS (SELECT FROM intake_stop WHERE topic = NEW.topic)
    THEN
        RAISE EXCEPTION 'the topic % is stopped: see bursar-bridge intake list', NEW.topic
            USING ERRCODE = 'lock_not_available';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sees_stops BEFORE UPDATE OF next_offset ON consumer_offset
FOR EACH ROW EXECUTE FUNCTION require_view_of_stops();
