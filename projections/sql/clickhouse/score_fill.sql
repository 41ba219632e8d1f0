-- Each day of the members once, as it stands last, and of it the signals that count.
INSERT INTO ledger
SELECT subject, signal, day, count, total
FROM (
    SELECT subject, day, signals, counts, totals
    FROM (
        SELECT subject, day, signals, counts, totals, version FROM {ledger}
        WHERE subject IN (SELECT subject FROM members) AND day <= %(on)s
        ORDER BY subject, day, version DESC LIMIT 1 BY subject, day
    ) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
)
ARRAY JOIN signals AS signal, counts AS count, totals AS total
WHERE signal IN %(signals)s
