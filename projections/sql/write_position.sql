UPDATE positions SET position = :position WHERE name = 'folded' AND position = :after
