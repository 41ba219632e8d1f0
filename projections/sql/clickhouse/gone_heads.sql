SELECT DISTINCT subject, occurred_at, key FROM {entries}
WHERE subject IN %(subjects)s AND version < %(position)s AND for_customer
