INSERT INTO erased_members (member, number) SELECT ?, number FROM erasures WHERE id = ?;
