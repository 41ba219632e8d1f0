-- What each touchpoint of a subject counted, without the rest of it.
SELECT occurred_at, key, json_extract(body, '$.signals') FROM entries
WHERE subject = :subject AND occurred_at >= :from_at AND occurred_at < :to_at
ORDER BY occurred_at DESC, key DESC
