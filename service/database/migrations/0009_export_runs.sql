-- A run commits its progress every few pages, also where no batch is full yet.

-- What an open run has selected for its next batch and how far it has looked, beyond the mark of
-- export_run. A plan counts only for the mark at which it began (after_patron, after_fine): when an
-- exporter of an older release, which does not know this table, moves the mark, the plan is void
-- and is made again. At most one row for each profile; kept beside export_run, because a new column
-- there would end statements that older releases have prepared.
CREATE TABLE export_plan (
    institution_id key_text NOT NULL,
    profile key_text NOT NULL,
    run_id key_text NOT NULL,
    after_patron text COLLATE "C" NOT NULL,
    after_fine text COLLATE "C" NOT NULL,
    looked_patron text COLLATE "C" NOT NULL,
    looked_fine text COLLATE "C" NOT NULL,
    patron_ids text [] NOT NULL,
    fine_ids text [] NOT NULL,
    sizes_bytes integer [] NOT NULL,
    held_back jsonb NOT NULL,
    PRIMARY KEY (institution_id, profile),
    CHECK ((looked_patron, looked_fine) >= (after_patron, after_fine)),
    CHECK (
        cardinality(patron_ids) = cardinality(fine_ids)
        AND cardinality(patron_ids) = cardinality(sizes_bytes)
    )
);
