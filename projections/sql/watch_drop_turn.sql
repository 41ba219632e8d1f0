DELETE FROM turns WHERE customer = ? AND opened_at = ? AND opening = ?
