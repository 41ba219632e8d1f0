SELECT uniqExact(occurred_at, key) FROM {entries} WHERE subject IN %(subjects)s AND {wanted} AND {visible}
