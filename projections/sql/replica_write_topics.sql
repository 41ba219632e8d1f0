INSERT OR REPLACE INTO topics_read (topic, part, next) VALUES (?, ?, ?)
