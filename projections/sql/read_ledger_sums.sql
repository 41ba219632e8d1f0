SELECT signal, sum(count) FROM ledger WHERE subject = ? GROUP BY signal
