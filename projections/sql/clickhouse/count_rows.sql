SELECT count() FROM (SELECT subject, version FROM {table} FINAL WHERE subject IN %(subjects)s) WHERE {visible}
