-- Version 9: whether an attempt's request was written twice, as a kept-alive connection was being closed.
-- What a column costs is told in version 7.

ALTER TABLE attempts ADD COLUMN resent INTEGER;   -- null where it is older
