SELECT number, key_id, owner, wrapped FROM data_keys WHERE number > ? AND owner NOT GLOB '-*' ORDER BY number LIMIT ?;
