SELECT count() FROM {keys} WHERE part = %(part)s
