-- Lines that wait are looked up by their fine or by their account. Both indexes began with the
-- institution, so that without statistics, as right after a recovery, a line was searched by the
-- institution alone among all that wait. The account's index begins with the patron now.
DROP INDEX adopted_line_of_patron;
CREATE INDEX adopted_line_of_account ON adopted_line (patron_id, institution_id, currency)
WHERE state = 'waiting';
