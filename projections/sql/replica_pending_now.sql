-- All whose rows were told further than the markers of their part.
INSERT OR IGNORE INTO pending (subject, position)
SELECT share.subject, share.position FROM identifier_shares AS share
WHERE share.position > CASE (SELECT count(*) FROM markers WHERE part = share.position & 1023) WHEN :kinds
    THEN (SELECT min(position) FROM markers WHERE part = share.position & 1023) ELSE 0 END
