-- Subjects of which a table still has rows that nobody sees, and the positions of their erasures.
SELECT subject, max(erased)
FROM (
    SELECT subject, version FROM {table} WHERE subject IN (SELECT subject FROM {erasures})
) AS rows
ALL INNER JOIN (SELECT subject, max(position) AS erased FROM {erasures} GROUP BY subject) AS gone USING (subject)
WHERE version < erased
GROUP BY subject
