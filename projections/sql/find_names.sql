-- Registers of subjects in whose names all these words are: `first` begins a word of the one that is answered, the others,
-- a JSON list, are in any of the subject's: at the beginning of a word, or anywhere in it if they have `shortest` letters.
SELECT found.subject, registers.value
FROM search AS found CROSS JOIN registers
    ON registers.subject = found.subject AND registers.kind = 'trait' AND registers.key = found.key
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
