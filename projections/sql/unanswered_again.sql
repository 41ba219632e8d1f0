-- Of these threads, a JSON list of [subject, thread], the customer's first message since we answered, or since the chat
-- ended that a person had answered in last, if there is one.
-- Each look goes to its place in the key: a thread may be long.
INSERT INTO unanswered (subject, thread, occurred_at, key)
WITH asked AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS subject, json_extract(value, '$[1]') AS thread FROM json_each(?)
), heard AS MATERIALIZED (
    SELECT subject, thread,
        coalesce((SELECT ours.occurred_at FROM thread_messages AS ours INDEXED BY answers
         WHERE ours.subject = asked.subject AND ours.thread = asked.thread AND ours.public AND ours.role <> 'customer'
         ORDER BY ours.occurred_at DESC, ours.key DESC LIMIT 1), -(1 << 62)) AS at,
        coalesce((SELECT ours.role FROM thread_messages AS ours INDEXED BY answers
         WHERE ours.subject = asked.subject AND ours.thread = asked.thread AND ours.public AND ours.role <> 'customer'
         ORDER BY ours.occurred_at DESC, ours.key DESC LIMIT 1), '') AS role,
        coalesce((SELECT ours.key FROM thread_messages AS ours INDEXED BY answers
         WHERE ours.subject = asked.subject AND ours.thread = asked.thread AND ours.public AND ours.role <> 'customer'
         ORDER BY ours.occurred_at DESC, ours.key DESC LIMIT 1), '') AS key
    FROM asked
), ended AS MATERIALIZED (
    SELECT subject, thread,
        (SELECT over.occurred_at FROM thread_messages AS over INDEXED BY ends
         WHERE over.subject = heard.subject AND over.thread = heard.thread AND over.closes AND heard.role = 'agent'
         ORDER BY over.occurred_at DESC, over.key DESC LIMIT 1) AS at,
        (SELECT over.key FROM thread_messages AS over INDEXED BY ends
         WHERE over.subject = heard.subject AND over.thread = heard.thread AND over.closes AND heard.role = 'agent'
         ORDER BY over.occurred_at DESC, over.key DESC LIMIT 1) AS key
    FROM heard
), answered AS MATERIALIZED (
    SELECT heard.subject, heard.thread,
        iif((ended.at, ended.key) > (heard.at, heard.key), ended.at, heard.at) AS at,
        iif((ended.at, ended.key) > (heard.at, heard.key), ended.key, heard.key) AS key
    FROM heard JOIN ended ON ended.subject = heard.subject AND ended.thread = heard.thread
), waiting AS MATERIALIZED (
    SELECT subject, thread,
        (SELECT said.occurred_at FROM thread_messages AS said
         WHERE said.subject = answered.subject AND said.thread = answered.thread AND said.role = 'customer'
           AND (said.occurred_at, said.key) > (answered.at, answered.key)
         ORDER BY said.occurred_at, said.key LIMIT 1) AS at,
        (SELECT said.key FROM thread_messages AS said
         WHERE said.subject = answered.subject AND said.thread = answered.thread AND said.role = 'customer'
           AND (said.occurred_at, said.key) > (answered.at, answered.key)
         ORDER BY said.occurred_at, said.key LIMIT 1) AS key
    FROM answered
)
SELECT subject, thread, at, key FROM waiting WHERE at IS NOT NULL
