SELECT id, type, value FROM identifiers
WHERE value COLLATE NOCASE >= :begins AND value COLLATE NOCASE < :begins || char(1114111)
ORDER BY value COLLATE NOCASE
LIMIT :limit
