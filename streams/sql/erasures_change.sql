UPDATE erasures SET done = ?, said = ? WHERE id = ?;
