SELECT DISTINCT subject, occurred_at, key FROM {contacts} WHERE subject IN %(subjects)s AND version < %(position)s
