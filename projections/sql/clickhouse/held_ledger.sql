SELECT subject, day, signals, counts, totals, version FROM {ledger}
WHERE subject IN %(subjects)s AND day >= %(since)s
ORDER BY subject, day, version DESC LIMIT 1 BY subject, day
