SELECT subject, max(position) FROM {erasures} WHERE bitAnd(position, 1023) = %(part)s GROUP BY subject
