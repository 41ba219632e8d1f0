CREATE TEMPORARY TABLE members (customer Int64, subject Int64)
