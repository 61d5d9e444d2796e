-- Version 4: which generation of the configuration made each attempt.
-- New tables only.

-- A row for each generation that an attempt in the history was made by; it goes with the last of them.
CREATE TABLE generations (
  seq      INTEGER PRIMARY KEY,
  number   INTEGER NOT NULL,   -- as its process counted
  hash     TEXT NOT NULL,
  revision TEXT NOT NULL,      -- git's name of the commit, empty where there is none
  dirty    INTEGER NOT NULL,
  attempts INTEGER NOT NULL,   -- how many rows of made_by name it
  UNIQUE (hash, revision, dirty, number)
) STRICT;

-- Written by the claim, so that attempts that a crash cut off have it too. Older attempts have no row.
CREATE TABLE made_by (
  delivery_seq INTEGER NOT NULL,
  number       INTEGER NOT NULL,   -- of the attempt
  generation   INTEGER NOT NULL,
  PRIMARY KEY (delivery_seq, number)
) STRICT, WITHOUT ROWID;
