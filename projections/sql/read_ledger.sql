SELECT signal, day, count, total FROM ledger WHERE subject = ?
