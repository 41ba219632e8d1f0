-- The same with `first` within a word.
SELECT found.subject, registers.value
FROM search_ends AS found CROSS JOIN search AS whole ON whole.subject = found.subject AND instr(whole.term, :first) > 1
CROSS JOIN registers
    ON registers.subject = found.subject AND registers.kind = 'trait' AND registers.key = whole.key
WHERE found.term >= :first AND found.term < :first || char(1114111)
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:others) AS word
      WHERE NOT EXISTS (
          SELECT 1 FROM search AS other
          WHERE other.subject = found.subject
            AND instr(other.term, word.value) BETWEEN 1 AND CASE WHEN length(word.value) < :shortest THEN 1 ELSE 50 END
      )
  )
ORDER BY found.term
