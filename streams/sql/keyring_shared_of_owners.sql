-- An owner may have several keys; any that is not retired serves, the least is the same for every reader.
SELECT owner, min(key_id), wrapped FROM data_keys
WHERE owner IN (SELECT value FROM json_each(?)) AND key_id NOT IN (SELECT key_id FROM retired_keys)
GROUP BY owner;
