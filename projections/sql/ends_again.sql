-- What the words of these subjects, a JSON list, end with: from three letters on, of at most fifty.
WITH RECURSIVE places(at) AS (VALUES (2) UNION ALL SELECT at + 1 FROM places WHERE at < 48)
INSERT OR IGNORE INTO search_ends (term, subject)
SELECT substr(search.term, at), search.subject FROM search CROSS JOIN places ON at <= length(search.term) - 2
WHERE search.subject IN (SELECT value FROM json_each(:members))
