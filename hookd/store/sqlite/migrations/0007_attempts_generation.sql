-- Version 7: the generation of the configuration that made an attempt stands in the attempt's own row.
--
-- What adding a column that may be null costs, 500,000 rows of this table: less than 1 ms where a table is not STRICT.
-- STRICT, SQLite 3.40.1: less than 1 ms; 3.51.1 and 3.54.1, which read the whole table: 86 to 121 ms.
-- Carrying over what `made_by` held takes 2 to 4 s for as many.

ALTER TABLE attempts ADD COLUMN generation INTEGER;   -- a seq of generations; null where it was cut off or is older

UPDATE attempts SET generation = made.generation FROM made_by AS made
WHERE made.delivery_seq = attempts.delivery_seq AND made.number = attempts.number;

DROP TABLE made_by;
ALTER TABLE generations DROP COLUMN attempts;
