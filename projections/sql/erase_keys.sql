-- Every touchpoint that may say something of a group: recorded under one of its claims' sides, or an agent's decision.
SELECT key FROM entries WHERE subject IN (SELECT value FROM json_each(:subjects))
UNION
SELECT touchpoint FROM claims WHERE lesser IN (SELECT value FROM json_each(:group)) AND own <> ''
UNION
SELECT touchpoint FROM claims WHERE greater IN (SELECT value FROM json_each(:group)) AND own <> ''
