-- The decisions on a fine, a payment or a rejected record: a release of all held fines writes as
-- many rows as there are fines, and every history and every `show` asks for the rows of one.
CREATE INDEX operator_action_subject ON operator_action USING gin (subject jsonb_path_ops)
WITH (fastupdate = off);

-- The answers to a batch. There are about as many answers as batches, so the index costs little.
CREATE INDEX export_response_of_batch
ON export_response (institution_id, profile, batch_number);
