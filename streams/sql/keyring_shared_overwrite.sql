-- Before they are deleted, so that nothing of a key stays behind in the file.
UPDATE data_keys SET owner = replace(hex(zeroblob(length(CAST(owner AS BLOB)))), '00', '~'), wrapped = zeroblob(length(wrapped))
WHERE owner NOT GLOB '-*';
