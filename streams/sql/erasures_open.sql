SELECT said FROM erasures WHERE NOT done ORDER BY number;
