-- The messages of each thread from the last public word of ours on, that one too: what was said before is answered.
WITH said AS MATERIALIZED (
    SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes FROM thread_messages
    WHERE subject IN (SELECT value FROM json_each(:subjects))
), answered AS MATERIALIZED (
    SELECT thread, max(occurred_at) AS at FROM said WHERE public AND role <> 'customer' GROUP BY thread
)
SELECT said.* FROM said LEFT JOIN answered ON answered.thread = said.thread
WHERE answered.at IS NULL OR said.occurred_at >= answered.at
ORDER BY said.thread, said.occurred_at, said.key
