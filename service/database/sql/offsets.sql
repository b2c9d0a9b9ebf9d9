-- name: known_topics
-- The topics that this database has read before. Only the start of an unknown topic may be chosen.
SELECT DISTINCT topic
FROM consumer_offset
WHERE topic = any($1::text []);

-- name: positions
-- Where this database goes on in each partition that it has read before.
SELECT
    topic,
    partition,
    next_offset,
    owner_epoch,
    anchor_offset,
    anchor_digest
FROM consumer_offset
WHERE topic = any($1::text []);

-- name: introduce
-- Inserts the partitions of a new topic with the offsets at which they start. If another instance
-- was faster, its offsets stay.
INSERT INTO consumer_offset (topic, partition, next_offset)
SELECT
    k.topic,
    k.partition,
    k.next_offset
FROM unnest($1::text [], $2::integer [], $3::bigint []) AS k (topic, partition, next_offset)
ORDER BY k.topic COLLATE "C", k.partition
ON CONFLICT DO NOTHING;

-- name: take_over
-- Gives partitions to this process under the next owner epoch, so that the process that had them
-- can no longer advance them.
WITH held AS (
    SELECT
        topic,
        partition
    FROM consumer_offset
    INNER JOIN unnest($1::text [], $2::integer []) AS k (topic, partition)
        USING (topic, partition)
    ORDER BY topic, partition
    FOR UPDATE OF consumer_offset
)

UPDATE consumer_offset AS kept
SET owner_epoch = kept.owner_epoch + 1
FROM held
WHERE kept.topic = held.topic AND kept.partition = held.partition
RETURNING
    kept.topic,
    kept.partition,
    kept.next_offset,
    kept.owner_epoch,
    kept.anchor_offset,
    kept.anchor_digest;

-- name: marks_to_read
-- Partitions that a recovery which goes on has to read further, and how far.
SELECT
    mark.topic,
    mark.partition,
    mark.next_offset
FROM unnest($1::text [], $2::integer []) AS k (topic, partition)
INNER JOIN recovery_mark AS mark USING (topic, partition)
INNER JOIN consumer_offset AS kept USING (topic, partition)
WHERE
    kept.next_offset < mark.next_offset
    AND EXISTS (SELECT FROM recovery WHERE recovery.state = 'reading'); -- noqa

-- name: advance
-- Moves offsets by compare-and-set, locked in the order of the keys. A row stays as it is, and is
-- not returned, if its offset or owner epoch is not the expected one. Beside each topic: whether
-- any topic is stopped, and whether bad records are counted; nearly always neither, and then no
-- other statement asks for them. The first setting tells a trigger that this release sees the
-- stops. The second one is for many records ($8): their statements are planned for the tables as
-- they are now. A plan that was kept may be of a time when a table was empty, and would read all of
-- it for each record.
WITH held AS (
    SELECT
        kept.topic,
        kept.partition,
        k.next_offset,
        k.anchor_offset,
        k.anchor_digest
    FROM consumer_offset AS kept
    INNER JOIN unnest(
        $1::text [], $2::integer [], $3::bigint [], $4::bigint [], $5::bigint [],
        $6::bigint [], $7::bytea []
    ) AS k (topic, partition, expected, next_offset, owner_epoch, anchor_offset, anchor_digest)
        ON
            kept.topic = k.topic
            AND kept.partition = k.partition
            AND kept.next_offset = k.expected
            AND kept.owner_epoch = k.owner_epoch
    WHERE
        set_config('bursar.sees_stops', 'yes', TRUE) = 'yes'
        AND set_config(
            'plan_cache_mode',
            CASE WHEN $8::boolean
                THEN 'force_custom_plan'
                ELSE current_setting('plan_cache_mode')
            END,
            TRUE
        ) <> ''
    ORDER BY kept.topic, kept.partition
    FOR UPDATE OF kept
)

UPDATE consumer_offset AS kept
SET
    next_offset = held.next_offset,
    anchor_offset = held.anchor_offset,
    anchor_digest = held.anchor_digest
FROM held
WHERE kept.topic = held.topic AND kept.partition = held.partition
RETURNING
    kept.topic,
    EXISTS (SELECT FROM intake_stop) AS has_stops, -- noqa
    EXISTS (SELECT FROM bad_count) AS has_counts; -- noqa
