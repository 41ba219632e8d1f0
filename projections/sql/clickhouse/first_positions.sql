-- An erased touchpoint has its key twice for a while: with its digest, and without.
SELECT key, min(position), min(digest) FROM {keys} WHERE part = %(part)s AND key IN %(keys)s GROUP BY key
