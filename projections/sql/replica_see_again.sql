-- Those of these identifiers that somebody still names, as they are named now.
UPDATE identifiers SET first_seen = share.first_seen, last_seen = share.last_seen, touchpoints = share.touchpoints
FROM (
    SELECT id, min(first_seen) AS first_seen, max(last_seen) AS last_seen, sum(touchpoints) AS touchpoints
    FROM identifier_shares WHERE id IN (SELECT value FROM json_each(?)) GROUP BY id
) AS share
WHERE identifiers.id = share.id
