SELECT DISTINCT position FROM {entries} WHERE subject IN %(subjects)s
