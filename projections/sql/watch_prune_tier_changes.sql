DELETE FROM tier_changes WHERE day < ?
