-- What is left of the claims on these pairs, by whomever: a JSON list of [lesser, greater].
SELECT claim_shares.lesser, claim_shares.greater, strength, apart, own, occurred_at, touchpoint, source, times, last_at
FROM json_each(?) AS pair CROSS JOIN claim_shares
    ON claim_shares.lesser = json_extract(pair.value, '$[0]') AND claim_shares.greater = json_extract(pair.value, '$[1]')
