-- Room for new versions of rows, and when autovacuum comes. docs/performance.md has what was
-- measured of the room; the numbers for autovacuum are our judgement.

-- Nearly every fine and payment writes an account again, and most fines a patron: they come with
-- newer data. With room on its page, a new version needs no entry in an index, and the next one
-- reuses the room of the last without a vacuum. This holds for pages that are written from now on.
ALTER TABLE account SET (fillfactor = 50);
ALTER TABLE patron SET (fillfactor = 70);

-- The outbox is empty nearly always, and yet all events pass through it. After a long backlog its
-- statistics say that it is large, and a fifth of that would be kept as garbage. A vacuum that
-- rests between pages is slower than the relay.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_cost_delay = 0
);

-- A fifth of a large ledger is a term's fines: that is too late for a vacuum, and a tenth for new
-- statistics. Rows that are only inserted are frozen in parts, not all at once.
ALTER TABLE account SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE patron SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE fine SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE export_line SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE payment SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE ledger_transaction SET (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
