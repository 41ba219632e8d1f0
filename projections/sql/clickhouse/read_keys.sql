SELECT DISTINCT key FROM {entries} WHERE subject IN %(subjects)s AND {visible}
