SELECT said FROM erasures WHERE id = ?;
