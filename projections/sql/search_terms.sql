-- The words that stand for these registers, a JSON list of [subject, key].
SELECT search.subject, search.key, term
FROM json_each(?) AS asked CROSS JOIN search
    ON search.subject = json_extract(asked.value, '$[0]') AND search.key = json_extract(asked.value, '$[1]')
