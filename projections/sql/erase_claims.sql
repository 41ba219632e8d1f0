DELETE FROM claims
WHERE lesser IN (SELECT value FROM json_each(:group)) OR greater IN (SELECT value FROM json_each(:group))
