SELECT key FROM set_aside WHERE received_at < ?;
