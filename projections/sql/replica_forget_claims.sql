DELETE FROM claim_shares WHERE subject = :subject AND position < :position RETURNING lesser, greater
