-- Only who saw the last step takes the next.
UPDATE described SET
    step = step + 1, salt = :salt, version = :version, position = :position, as_of = :as_of, customers = :customers,
    walk = :walk, day = :day, after = :after, whole = :whole, again = :again, since = :since, counted = :counted, swept = :swept,
    kept_from = :kept_from, usual = :usual, anew = :anew
WHERE step = :step AND made_of = :made_of
