-- The names in these registers, a JSON list of [subject, key].
SELECT registers.subject, registers.key, registers.value
FROM json_each(?) AS asked CROSS JOIN registers
    ON registers.subject = json_extract(asked.value, '$[0]') AND kind = 'trait'
    AND registers.key = json_extract(asked.value, '$[1]')
