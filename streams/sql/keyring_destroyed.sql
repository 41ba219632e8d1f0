SELECT key_id FROM data_keys WHERE owner GLOB '-*';
