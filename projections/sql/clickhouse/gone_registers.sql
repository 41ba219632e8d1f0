SELECT DISTINCT subject, kind, key FROM {registers} WHERE subject IN %(subjects)s AND version < %(position)s
