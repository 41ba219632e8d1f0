DELETE FROM ranked WHERE score = ? AND tier = ? AND value = ? AND customer = ?
