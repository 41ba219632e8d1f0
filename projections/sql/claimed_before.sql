SELECT EXISTS (SELECT 1 FROM claims WHERE lesser = ? AND greater = ? AND apart = 0)
