SELECT number, said FROM erasures WHERE number < ? ORDER BY number DESC LIMIT ?;
