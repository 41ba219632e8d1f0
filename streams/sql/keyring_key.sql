SELECT wrapped FROM data_keys WHERE key_id = ? AND owner NOT GLOB '-*';
