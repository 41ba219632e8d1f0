SELECT seq, at, sure, customer, body FROM changes WHERE seq > ? ORDER BY seq LIMIT ?
