-- Where in the journal each of these subjects was last heard of.
SELECT position FROM identifier_shares WHERE id IN (SELECT value FROM json_each(?1)) AND subject = id
