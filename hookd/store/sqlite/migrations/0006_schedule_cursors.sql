-- Version 6: how far the moments of each schedule are dealt with, set in the transaction that stores a moment's event.
-- So no moment is taken in twice, however short its event is kept; one instant for all schedules could not tell them apart.

CREATE TABLE schedule_cursors (
  key         TEXT PRIMARY KEY,
  dealt_until INTEGER NOT NULL,
  generation  TEXT NOT NULL      -- hash of the configuration that watched it last
) STRICT, WITHOUT ROWID;

INSERT INTO schedule_cursors (key, dealt_until, generation)
SELECT key, max(first_seen, (SELECT at FROM alive)), '' FROM schedules;

DROP TABLE schedules;
DROP TABLE alive;
