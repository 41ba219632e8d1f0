-- OR IGNORE: of two processes starting at once, the first one's key is everyone's.
INSERT OR IGNORE INTO identity_key (one, key_id, wrapped) VALUES (1, ?, ?);
