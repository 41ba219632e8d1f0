DELETE FROM identifier_shares WHERE subject = :subject AND position < :position RETURNING id
