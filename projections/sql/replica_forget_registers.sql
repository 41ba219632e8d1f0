DELETE FROM registers WHERE subject = :subject AND position < :position
