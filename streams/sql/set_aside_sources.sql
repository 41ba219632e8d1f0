SELECT source, count(*) FROM set_aside GROUP BY source ORDER BY count(*) DESC, source;
