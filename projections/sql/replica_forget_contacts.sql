DELETE FROM contacts WHERE subject = :subject AND position < :position
