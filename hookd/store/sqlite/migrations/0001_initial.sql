-- Version 1: events, their deliveries, the attempts made, and what a lane must remember.
-- Instants are microseconds since the epoch. A delivery's state is 0 pending, 1 sending, 2 delivered, 3 dead, 4 cancelled.
-- `due_at` is set exactly while a delivery is unfinished: when it may next be claimed, or when the lease of its attempt ends.

CREATE TABLE events (
  seq            INTEGER PRIMARY KEY,
  id             TEXT NOT NULL UNIQUE,
  kind           TEXT NOT NULL,
  type           TEXT NOT NULL,
  event          TEXT NOT NULL,
  object         TEXT,               -- JSON, null where there is none
  time           TEXT,
  data           TEXT,               -- JSON, null where it is empty
  digest         BLOB,
  received_at    INTEGER NOT NULL,
  first_delivery INTEGER NOT NULL,   -- its deliveries have the keys first_delivery, first_delivery + 1, …
  deliveries     INTEGER NOT NULL
) STRICT;

CREATE INDEX events_lone ON events (received_at) WHERE deliveries = 0;

CREATE TABLE deliveries (
  seq         INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  event_seq   INTEGER NOT NULL,
  task        TEXT NOT NULL,
  webhook     TEXT NOT NULL,
  rule        TEXT NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0,
  attempt     INTEGER NOT NULL DEFAULT 0,
  failures    INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  due_at      INTEGER,
  claimed_at  INTEGER,
  finished_at INTEGER,
  last_status INTEGER,
  last_error  TEXT NOT NULL DEFAULT '',
  detail      TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX deliveries_due ON deliveries (webhook, due_at, state) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (webhook) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_finished ON deliveries (state, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (state) WHERE state = 3;

-- Bodies stand apart because they never change: SQLite writes a changed row anew as a whole.
CREATE TABLE messages (
  seq  INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE attempts (
  delivery_seq INTEGER NOT NULL,
  number       INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,
  duration_s   REAL NOT NULL,
  status       INTEGER,
  reason       TEXT NOT NULL,
  error        TEXT NOT NULL,
  response     BLOB NOT NULL,
  insecure     INTEGER NOT NULL,
  PRIMARY KEY (delivery_seq, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (
  webhook    TEXT PRIMARY KEY,
  hold_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many deliveries are finished, by state: counted as they change, so that no start has to count history.
CREATE TABLE tallies (
  state INTEGER PRIMARY KEY,
  count INTEGER NOT NULL
) STRICT;

INSERT INTO tallies (state, count) VALUES (2, 0), (3, 0), (4, 0);
