CREATE TEMPORARY TABLE ledger (subject Int64, signal String, day Int64, count Int64, total Int64)
