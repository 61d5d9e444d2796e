-- Version 3: what the wall clock showed when it was last noted, so that the next start can tell that it was set meanwhile.
-- A new table only, so that a large store is brought forward at once.

-- One row, or none yet.
CREATE TABLE clock (
  seen_at INTEGER NOT NULL
) STRICT;
