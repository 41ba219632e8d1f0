-- Bodies of decisions against a message; see read_complaints.
SELECT type, body
FROM (
    SELECT subject, occurred_at, key, type, body, version FROM {entries}
    WHERE type IN %(types)s AND occurred_at >= %(from_at)s AND occurred_at < %(to_at)s
      AND recorded_at >= %(from_at)s - 86400000
    ORDER BY subject, occurred_at, key, version DESC LIMIT 1 BY subject, occurred_at, key
) AS said
ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
WHERE version >= erased
