DELETE FROM tier_changes WHERE customer = ? AND day = ?
