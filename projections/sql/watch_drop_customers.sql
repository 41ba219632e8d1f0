DELETE FROM customers WHERE customer IN (VALUES (?))
