-- What is known of the claims on these pairs: a JSON list of [lesser, greater].
SELECT subject, claim_shares.lesser, claim_shares.greater, strength, apart, own, times, position
FROM json_each(?) AS pair CROSS JOIN claim_shares
    ON claim_shares.lesser = json_extract(pair.value, '$[0]') AND claim_shares.greater = json_extract(pair.value, '$[1]')
