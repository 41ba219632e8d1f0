UPDATE positions SET position = position + 1 WHERE name = 'folded' RETURNING position
