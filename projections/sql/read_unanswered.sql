SELECT said.subject, said.thread, said.occurred_at, said.key,
       role, public, channel, agent, team, purpose, closes
FROM unanswered CROSS JOIN thread_messages AS said
    ON said.subject = unanswered.subject AND said.thread = unanswered.thread
    AND said.occurred_at = unanswered.occurred_at AND said.key = unanswered.key
WHERE (unanswered.occurred_at, unanswered.key) > (:after_at, :after_key)
ORDER BY unanswered.occurred_at, unanswered.key
LIMIT :limit
