SELECT DISTINCT subject, id FROM {identifiers} WHERE subject IN %(subjects)s AND version < %(position)s
