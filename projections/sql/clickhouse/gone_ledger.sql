SELECT DISTINCT subject, day FROM {ledger} WHERE subject IN %(subjects)s AND version < %(position)s
