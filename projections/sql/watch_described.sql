SELECT * FROM described
