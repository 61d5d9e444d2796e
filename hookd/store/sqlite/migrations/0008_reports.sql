-- Version 8: which dead deliveries of a webhook stand in a report (spec 10), written with the report itself.

ALTER TABLE lanes ADD COLUMN reported_at INTEGER;      -- when the last report was stored; null: there was none
ALTER TABLE lanes ADD COLUMN reported_until INTEGER;   -- it counts what had died by then

-- Reports of earlier versions are the events of hookd's own, which have neighbouring ids.
INSERT INTO lanes (webhook, hold_until, reported_at, reported_until)
SELECT object ->> 'name', 0, max(received_at), max(received_at) FROM events
WHERE id >= 'hookd_' AND id < 'hookd`' AND type = 'hookd.delivery' AND event = 'dead' AND object ->> 'name' IS NOT NULL
GROUP BY object ->> 'name'
ON CONFLICT (webhook) DO UPDATE SET reported_at = excluded.reported_at, reported_until = excluded.reported_until;
