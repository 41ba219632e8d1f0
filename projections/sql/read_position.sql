SELECT position FROM positions WHERE name = 'folded'
