-- The latest run of a profile is asked for every few seconds; a short interval leaves many runs.
CREATE INDEX export_run_cutoff ON export_run (institution_id, profile, cutoff);
