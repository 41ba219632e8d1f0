-- Put after JOIN: every identifier that somebody's touchpoints name, as it is shown.
(
    SELECT id, any(concat(type, ':', value)) AS clear
    FROM (SELECT subject, id, type, value, version FROM {identifiers} FINAL) AS said
    ANY LEFT JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
    WHERE version >= erased
    GROUP BY id
)
