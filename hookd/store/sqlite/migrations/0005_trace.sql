-- Version 5: the trace that an event's request belonged to, so that every attempt of its deliveries can name it.
-- A column that may be null changes no row, so that a large store is brought forward at once.

ALTER TABLE events ADD COLUMN trace TEXT;   -- trace id, flags and tracestate, null where there was none
