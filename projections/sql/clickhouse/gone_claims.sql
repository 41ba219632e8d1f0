SELECT DISTINCT subject, lesser, greater, strength, apart, own FROM {claims}
WHERE subject IN %(subjects)s AND version < %(position)s
