-- In order of time, all in one JSON list: for each row that is read Python lets go of its interpreter.
SELECT json_group_array(json_array(
    subject, occurred_at, key, kind, reservation, channel, purpose, json(tags), campaign, counts, until
)) FROM (
    SELECT * FROM contacts WHERE subject IN (SELECT value FROM json_each(:subjects)) AND occurred_at >= :since
    ORDER BY occurred_at, key
)
