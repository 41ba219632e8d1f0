-- An owner may have several keys; any of them serves, the least is the same for every reader.
SELECT owner, min(key_id), wrapped FROM data_keys
WHERE owner IN (SELECT value FROM json_each(?)) GROUP BY owner;
