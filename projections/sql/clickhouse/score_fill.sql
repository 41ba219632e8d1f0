-- Each day of the people once, as it stands last, added up for each of them, and of it the signals that count.
INSERT INTO ledger
SELECT customer, signal, day, sum(count), sum(total)
FROM (
    SELECT subject, signal, day, count, total
    FROM (
        SELECT subject, day, signals, counts, totals
        FROM (
            SELECT subject, day, signals, counts, totals, version FROM {ledger}
            WHERE subject IN (SELECT subject FROM people) AND day <= %(on)s
            ORDER BY subject, day, version DESC LIMIT 1 BY subject, day
        ) AS stored
        ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
        WHERE version >= erased
    ) AS kept
    ARRAY JOIN signals AS signal, counts AS count, totals AS total
    WHERE signal IN %(signals)s
) AS days
ALL INNER JOIN (SELECT subject, customer FROM people) AS whose USING (subject)
GROUP BY customer, signal, day
