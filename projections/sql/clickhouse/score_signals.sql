-- Those of these signals that any of the people has, on any day.
SELECT DISTINCT signal
FROM (
    SELECT subject, signals
    FROM (
        SELECT subject, day, signals, version FROM {ledger}
        WHERE subject IN (SELECT subject FROM people)
        ORDER BY subject, day, version DESC LIMIT 1 BY subject, day
    ) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
)
ARRAY JOIN signals AS signal
WHERE signal IN %(signals)s
