-- By as many bytes, so that each row stays where it is.
UPDATE data_keys SET owner = replace(hex(zeroblob(length(CAST(owner AS BLOB)))), '00', '-'), wrapped = zeroblob(length(wrapped))
WHERE key_id IN (SELECT value FROM json_each(?)) AND owner NOT GLOB '-*';
