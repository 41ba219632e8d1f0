ALTER TABLE {table} DELETE
WHERE subject IN %(among)s AND version < transform(subject, %(subjects)s, %(positions)s, toUInt64(0))
