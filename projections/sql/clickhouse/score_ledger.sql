CREATE TEMPORARY TABLE ledger (subject String, signal String, day Int64, count Int64, total Int64)
