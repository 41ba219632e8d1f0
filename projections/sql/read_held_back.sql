-- Decisions against a message, by each of the reasons they were taken for.
SELECT entries.type, json_extract(reason.value, '$.code') AS code, count(DISTINCT entries.key)
FROM entries, json_each(entries.body, '$.data.reasons') AS reason
WHERE entries.type IN ('contact_deferred', 'contact_suppressed')
  AND occurred_at >= :from_at AND occurred_at < :to_at AND json_type(reason.value, '$.code') = 'text'
GROUP BY entries.type, code
