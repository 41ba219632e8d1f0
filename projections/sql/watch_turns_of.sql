SELECT * FROM turns WHERE customer = ? ORDER BY opened_at, opening
