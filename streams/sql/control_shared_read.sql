SELECT value FROM said WHERE name = ?;
