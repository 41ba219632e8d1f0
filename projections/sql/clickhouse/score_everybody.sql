-- In the ledger of the statement everybody has one subject, his own number.
INSERT INTO members SELECT DISTINCT customer, customer FROM people
