SELECT key_id, wrapped FROM identity_key WHERE one = 1;
