SELECT a.type || ':' || a.value, b.type || ':' || b.value, c.strength, c.apart, c.own, c.occurred_at, c.touchpoint, c.source,
       c.times, c.last_at
FROM claims AS c JOIN identifiers AS a ON a.id = c.lesser JOIN identifiers AS b ON b.id = c.greater
ORDER BY 1, 2, 3, 4, 5
