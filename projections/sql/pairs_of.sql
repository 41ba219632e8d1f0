SELECT DISTINCT lesser, greater FROM claims WHERE apart = 0 AND (lesser = :id OR greater = :id)
