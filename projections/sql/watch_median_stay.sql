SELECT stayed FROM stays WHERE stage = ? ORDER BY stayed LIMIT 1 OFFSET ?
