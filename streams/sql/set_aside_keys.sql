SELECT key FROM set_aside
WHERE source = :source AND (:code IS NULL OR (code = :code AND reason = :reason)) ORDER BY number LIMIT :limit;
