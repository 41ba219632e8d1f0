-- Sorted by subject first, so an id is looked for in all of it: not for hot paths.
SELECT id, any(type), any(value), min(first_seen), max(last_seen), sum(touchpoints), max(changed)
FROM (
    SELECT subject, id, type, value, first_seen, last_seen, touchpoints, changed, version FROM {identifiers}
    WHERE id IN %(ids)s
    ORDER BY subject, id, version DESC LIMIT 1 BY subject, id
) AS said
ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
WHERE version >= erased
GROUP BY id
