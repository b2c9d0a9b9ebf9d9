-- The fine of a change on which the program failed, or that the database refused, when it was read:
-- the fine is not exported until a person has decided about the change. NULL for other records, and
-- for changes that an older release has parked here. A parked change that failed later has its fine
-- in `parked`.
ALTER TABLE parked_error ADD COLUMN fine_id key_text;
CREATE INDEX parked_error_of_fine ON parked_error (institution_id, fine_id)
WHERE fine_id IS NOT NULL;
