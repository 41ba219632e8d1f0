INSERT OR IGNORE INTO erased_members (member, number) SELECT ?, number FROM erasures WHERE id = ?;
