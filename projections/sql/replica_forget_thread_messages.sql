DELETE FROM thread_messages WHERE subject = :subject AND position < :position
