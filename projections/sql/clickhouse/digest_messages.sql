SELECT clear, concat('message in ', thread) AS kind, key,
       concat(role, ' on ', channel, ifNull(concat(' by ', agent), ''), ifNull(concat(' of ', team), ''),
              ifNull(concat(' for ', purpose), ''), if(closes, ', the last', '')) AS value,
       occurred_at, public
FROM (
    SELECT subject AS id, thread, key, role, channel, agent, team, purpose, closes, occurred_at, public
    FROM (
        SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes, version
        FROM {thread_messages} FINAL
    ) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ALL INNER JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, kind, key
