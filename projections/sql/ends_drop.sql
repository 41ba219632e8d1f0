-- What the words of these subjects, a JSON list, end with.
WITH RECURSIVE places(at) AS (VALUES (2) UNION ALL SELECT at + 1 FROM places WHERE at < 48)
DELETE FROM search_ends WHERE (term, subject) IN (
    SELECT substr(search.term, at), search.subject FROM search CROSS JOIN places ON at <= length(search.term) - 2
    WHERE search.subject IN (SELECT value FROM json_each(:members))
)
