SELECT clear, day, signals, counts, totals
FROM (
    SELECT subject AS id, day, signals, counts, totals
    FROM (SELECT subject, day, signals, counts, totals, version FROM {ledger} FINAL) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ALL INNER JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, day
