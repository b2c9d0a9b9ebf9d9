-- To which Kafka cluster and topic prefix this database belongs: its offsets are those of these
-- topics. The first start stores it. Another cluster or prefix stops every later start, until a
-- person says that the topics have moved. At most one row; older releases do not read it.
CREATE TABLE kafka_home (
    singleton boolean PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    cluster_id text NOT NULL,
    topic_prefix text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
