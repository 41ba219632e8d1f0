-- Row by row as each subject's touchpoints say it; the earliest of a pair and strength comes first.
SELECT concat(lesser_type, ':', lesser_value) AS a, concat(greater_type, ':', greater_value) AS b, strength, apart, own,
       occurred_at, touchpoint, source, times, last_at
FROM (
    SELECT subject, lesser_type, lesser_value, greater_type, greater_value, strength, apart, own,
           occurred_at, touchpoint, source, times, last_at, version
    FROM {claims} FINAL
) AS stored
ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
WHERE version >= erased
ORDER BY a, b, strength, apart, own, occurred_at, touchpoint
