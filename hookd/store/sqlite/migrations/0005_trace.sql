-- Version 5: the trace that an event's request belonged to, so that every attempt of its deliveries can name it.
-- What a column costs is told in version 7.

ALTER TABLE events ADD COLUMN trace TEXT;   -- trace id, flags and tracestate, null where there was none
