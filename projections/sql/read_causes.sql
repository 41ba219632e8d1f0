-- Of complaints, as JSON, the reason that their type's fields say and the one that was sent.
SELECT json_quote(json_extract(body, '$.shown.reason')) AS shown, json_quote(json_extract(body, '$.data.reason')) AS sent, count(*)
FROM entries
WHERE type = 'complaint_raised' AND occurred_at >= :from_at AND occurred_at < :to_at
GROUP BY shown, sent
