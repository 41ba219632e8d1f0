SELECT clear, concat('contact ', said) AS kind, key,
       concat(ifNull(reservation, ''), ' on ', channel, ifNull(concat(' for ', purpose), ''), ' ', tags,
              ifNull(concat(' of ', campaign), ''), ifNull(concat(' until ', toString(until)), '')) AS value,
       occurred_at, counts
FROM (
    SELECT subject AS id, occurred_at, key, kind AS said, reservation, channel, purpose, tags, campaign, counts, until
    FROM (
        SELECT subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until, version
        FROM {contacts} FINAL
    ) AS stored
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
) AS seen
ALL INNER JOIN {visible_identifiers} AS named USING (id)
ORDER BY clear, kind, key
