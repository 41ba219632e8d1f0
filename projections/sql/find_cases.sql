SELECT DISTINCT subject, key FROM registers
WHERE kind IN ('case', 'case_opened', 'case_stage')
  AND key COLLATE NOCASE >= :begins AND key COLLATE NOCASE < :begins || char(1114111)
ORDER BY key COLLATE NOCASE
LIMIT :limit
