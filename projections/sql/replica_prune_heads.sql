-- Of each of these subjects the heads behind the newest that stand at no later position: an erasure that takes any of the
-- newest takes these too, so that they are never needed again.
WITH placed AS MATERIALIZED (
    SELECT subject, occurred_at, key, position,
        row_number() OVER (PARTITION BY subject ORDER BY occurred_at DESC, key DESC) AS place
    FROM heads WHERE subject IN (SELECT value FROM json_each(:subjects))
), newest AS MATERIALIZED (
    SELECT subject, min(position) AS position FROM placed WHERE place <= :kept GROUP BY subject
)
DELETE FROM heads
WHERE (subject, occurred_at, key) IN (
    SELECT placed.subject, placed.occurred_at, placed.key FROM placed JOIN newest USING (subject)
    WHERE placed.place > :kept AND placed.position <= newest.position
)
