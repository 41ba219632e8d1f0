DELETE FROM retired_keys;
