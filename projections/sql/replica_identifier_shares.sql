-- What is known of these: a JSON list of [subject, id].
SELECT share.subject, share.id, share.touchpoints, share.position, share.first_seen
FROM json_each(?) AS pair CROSS JOIN identifier_shares AS share
    ON share.id = json_extract(pair.value, '$[1]') AND share.subject = json_extract(pair.value, '$[0]')
