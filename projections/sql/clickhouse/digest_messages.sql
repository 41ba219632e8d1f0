SELECT clear, concat('message in ', thread) AS kind, key, concat(role, ' on ', channel) AS value, occurred_at, public
FROM (
    SELECT subject AS id, thread, key, role, channel, occurred_at, public
    FROM (SELECT subject, thread, occurred_at, key, role, public, channel, version FROM {thread_messages} FINAL) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ALL INNER JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, kind, key
