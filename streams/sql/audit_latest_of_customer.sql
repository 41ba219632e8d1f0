SELECT position, text, hash FROM audit
WHERE customer = :customer AND position < :before AND (:act IS NULL OR act = :act)
ORDER BY position DESC LIMIT :limit;
