INSERT INTO described VALUES (:made_of, :salt, 0, :version, :position, NULL, 0, 0, :day, NULL, 1, 1, :day - 1, 0, NULL, :now, '', 0)
