DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes WHERE at < ?)
