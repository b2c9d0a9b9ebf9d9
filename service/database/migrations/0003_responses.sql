-- When an answer came and what it said; NULL for answers that came before this revision. `lines`:
-- those it accepts or refuses, NULL where it was rejected without naming any.
ALTER TABLE export_response
ADD COLUMN outcome text CHECK (outcome IN ('accepted', 'refused', 'partial')),
ADD COLUMN lines bigint CHECK (lines >= 0),
ADD COLUMN responded_at timestamptz,
ADD COLUMN recorded_at timestamptz;
