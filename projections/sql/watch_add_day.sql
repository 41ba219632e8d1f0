UPDATE customers SET day = told.column2, standing = told.column3, eve = told.column4
FROM (VALUES (?, ?, ?, ?)) AS told WHERE customer = told.column1
