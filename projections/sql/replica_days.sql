-- What is counted by these: a JSON list of [subject, signal, day].
SELECT ledger.subject, ledger.signal, ledger.day, ledger.count, ledger.total
FROM json_each(?) AS asked CROSS JOIN ledger ON ledger.subject = json_extract(asked.value, '$[0]')
    AND ledger.signal = json_extract(asked.value, '$[1]') AND ledger.day = json_extract(asked.value, '$[2]')
