-- Version 2: which one-shot tasks have run, which webhooks are paused, and which schedules are watched.
-- New tables only, so that a large store is brought forward at once. Retention touches none of them.

-- A mark outlives its delivery: a task that has run stays spent until somebody arms it again.
CREATE TABLE spent (
  task        TEXT NOT NULL,
  digest      TEXT NOT NULL,
  spent_at    INTEGER NOT NULL,
  delivery_id TEXT NOT NULL,
  PRIMARY KEY (task, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE paused (
  webhook TEXT PRIMARY KEY,
  since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
  key        TEXT PRIMARY KEY,
  first_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the moments of every watched schedule are dealt with up to this instant.
CREATE TABLE alive (
  at INTEGER NOT NULL
) STRICT;

INSERT INTO alive (at) VALUES (0);
