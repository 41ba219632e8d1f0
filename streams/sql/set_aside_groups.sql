SELECT source, code, reason, count(*), max(received_at) AS newest
FROM set_aside GROUP BY source, code, reason ORDER BY newest DESC, source, code, reason LIMIT ?;
