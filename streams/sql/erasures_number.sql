-- The first from this one on that no other erasure has.
SELECT coalesce(
    (SELECT number FROM erasures WHERE id = :id),
    (SELECT max(number) + 1 FROM erasures WHERE number BETWEEN :number AND :number + 999),
    :number);
