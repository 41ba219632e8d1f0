SELECT clear, occurred_at, key, type, family, channel, source, direction, thread, for_customer, body
FROM (
    SELECT subject AS id, occurred_at, key, type, family, channel, source, direction, thread, for_customer, body
    FROM (
        SELECT subject, occurred_at, key, type, family, channel, source, direction, thread, for_customer, body, version
        FROM {entries} FINAL
    ) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ANY LEFT JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, occurred_at, key
