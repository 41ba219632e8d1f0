CREATE TEMPORARY TABLE people (customer Int64, subject String)
