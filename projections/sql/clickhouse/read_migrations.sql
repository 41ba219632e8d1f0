SELECT DISTINCT number FROM migrations
