DELETE FROM heads WHERE subject = :subject AND position < :position
