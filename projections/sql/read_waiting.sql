-- Of each thread of a subject and channel the customer's words since we last answered him there: since when he waits in
-- the thread and by which touchpoint, how many by this channel, when the last, whether the first of all is among them,
-- and of which purpose that is.
SELECT waits.thread, waits.occurred_at, waits.key, said.channel, count(*), max(said.occurred_at),
    max(said.key = waits.key), max(CASE WHEN said.key = waits.key THEN said.purpose END)
FROM unanswered AS waits CROSS JOIN thread_messages AS said
    ON said.subject = waits.subject AND said.thread = waits.thread
    AND (said.occurred_at, said.key) >= (waits.occurred_at, waits.key)
WHERE waits.subject IN (SELECT value FROM json_each(:subjects)) AND said.role = 'customer'
GROUP BY waits.subject, waits.thread, said.channel
