-- Of a JSON list of keys, those already recorded. CROSS JOIN keeps the list outside: one index look-up per key.
SELECT journal.key, journal.position, journal.key_id, journal.body
FROM json_each(?) AS wanted CROSS JOIN journal ON journal.key = wanted.value;
