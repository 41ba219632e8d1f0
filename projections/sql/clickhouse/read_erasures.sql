SELECT subject, max(position) FROM {erasures} WHERE subject IN %(subjects)s GROUP BY subject
