SELECT clear, kind, key, value, occurred_at, touchpoint
FROM (
    SELECT subject AS id, kind, key, value, occurred_at, touchpoint
    FROM (SELECT subject, kind, key, value, occurred_at, touchpoint, version FROM {registers} FINAL) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ALL INNER JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, kind, key
