SELECT stage, count(*) FROM stays GROUP BY stage
