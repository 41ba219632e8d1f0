-- Registers of subjects of whom each word begins a word of a name: `first` in the one that is answered, the others, a
-- JSON list, in any of the subject's.
SELECT found.subject, registers.value
FROM search AS found CROSS JOIN registers
    ON registers.subject = found.subject AND registers.kind = 'trait' AND registers.key = found.key
WHERE term >= :first AND term < :first || char(1114111)
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:others) AS word
      WHERE NOT EXISTS (
          SELECT 1 FROM search AS other
          WHERE other.subject = found.subject AND other.term >= word.value AND other.term < word.value || char(1114111)
      )
  )
ORDER BY term
LIMIT :limit
