-- How many rows of each table hold something of these identifiers.
WITH members AS (SELECT value AS id FROM json_each(:members))
SELECT (SELECT count(*) FROM entries WHERE subject IN members),
       (SELECT count(*) FROM ledger WHERE subject IN members),
       (SELECT count(*) FROM registers WHERE subject IN members),
       (SELECT count(*) FROM search WHERE subject IN members),
       (SELECT count(*) FROM thread_messages WHERE subject IN members),
       (SELECT count(*) FROM unanswered WHERE subject IN members),
       (SELECT count(*) FROM contacts WHERE subject IN members),
       (SELECT count(*) FROM claims WHERE lesser IN members OR greater IN members),
       (SELECT count(*) FROM identifiers WHERE id IN members)
