-- Free texts beside the ledger, where they can be erased, and files found by their content.

-- A file that was imported under one source is not imported under another one unawares.
CREATE INDEX import_file_of_sha256 ON import_file (institution_id, sha256);
