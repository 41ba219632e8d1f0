-- Which of these pairs, a JSON list of [lesser, greater], somebody claimed to be one person.
SELECT DISTINCT claims.lesser, claims.greater
FROM json_each(?) AS pair CROSS JOIN claims
    ON claims.lesser = json_extract(pair.value, '$[0]') AND claims.greater = json_extract(pair.value, '$[1]')
WHERE claims.apart = 0
