DELETE FROM ledger WHERE subject = :subject AND position < :position
