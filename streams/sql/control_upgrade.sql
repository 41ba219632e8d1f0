-- Keys of version 0.1 had no name.
ALTER TABLE access_keys ADD COLUMN name TEXT;
