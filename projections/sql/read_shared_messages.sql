-- All messages of the threads in which one of these subjects waits and another one spoke too.
WITH talks AS MATERIALIZED (
    SELECT value AS subject FROM json_each(:subjects)
    WHERE EXISTS (SELECT 1 FROM thread_messages WHERE thread_messages.subject = value)
)
SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes FROM thread_messages
WHERE subject IN (SELECT subject FROM talks) AND thread IN (
    SELECT waits.thread FROM unanswered AS waits
    WHERE waits.subject IN (SELECT subject FROM talks) AND EXISTS (
        SELECT 1 FROM talks AS other CROSS JOIN thread_messages AS theirs
            ON theirs.subject = other.subject AND theirs.thread = waits.thread
        WHERE other.subject <> waits.subject
    )
)
ORDER BY thread, occurred_at, key
