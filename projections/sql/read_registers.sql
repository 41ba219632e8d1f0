SELECT kind, key, value, occurred_at, touchpoint FROM registers
WHERE subject IN (SELECT value FROM json_each(?)) AND kind NOT IN (SELECT value FROM json_each(?))
