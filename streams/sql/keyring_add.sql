-- The last line is repeated to insert several rows at once.
INSERT INTO data_keys (key_id, owner, wrapped)
VALUES
    (?, ?, ?)
