SELECT build FROM (SELECT build, argMax(dropped, changed_at) AS dropped FROM builds GROUP BY build) WHERE NOT dropped ORDER BY build
