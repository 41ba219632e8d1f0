-- The words of a Bloom filter: of each key four numbers, each naming a bit.
SELECT word, groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(bitAnd(bit, 63))))
FROM (
    SELECT bitShiftRight(bit, 6) AS word, bit FROM (
        SELECT bitAnd(arrayJoin([
            reinterpretAsUInt32(substring(raw, 1, 4)), reinterpretAsUInt32(substring(raw, 5, 4)),
            reinterpretAsUInt32(substring(raw, 9, 4)), reinterpretAsUInt32(substring(raw, 13, 4))
        ]), %(mask)s) AS bit
        FROM (SELECT unhex(key) AS raw FROM {keys} WHERE part = %(part)s)
    )
)
GROUP BY word
