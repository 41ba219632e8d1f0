-- The records with the touchpoint keys of a JSON list, each once. CROSS JOIN keeps the list outside: one index look-up per key.
SELECT journal.position, journal.key, journal.source, journal.type, journal.version, journal.channel, journal.subject,
       journal.key_id, journal.occurred_at, journal.recorded_at, journal.body
FROM (SELECT DISTINCT value FROM json_each(?)) AS wanted CROSS JOIN journal ON journal.key = wanted.value ORDER BY journal.position;
