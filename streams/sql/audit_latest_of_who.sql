SELECT position, text, hash FROM audit
WHERE who = :who AND position < :before AND (:act IS NULL OR act = :act)
    AND (:customer IS NULL OR customer = :customer)
ORDER BY position DESC LIMIT :limit;
