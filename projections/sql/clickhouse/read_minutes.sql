-- A row may stand there several times until it is merged; a hash of its key takes a quarter of the memory.
SELECT intDiv(recorded_at, 60000) AS minute, channel, toInt64(uniqExact(sipHash64(key))) FROM {entries}
WHERE recorded_at >= %(since)s AND source != 'touchbook' GROUP BY minute, channel ORDER BY minute, channel
