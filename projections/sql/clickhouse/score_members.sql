CREATE TEMPORARY TABLE members (customer String, subject String)
