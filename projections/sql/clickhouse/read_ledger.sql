SELECT subject, day, signals, counts, totals FROM {ledger}
WHERE subject IN %(subjects)s AND {visible}
ORDER BY subject, day, version DESC LIMIT 1 BY subject, day
