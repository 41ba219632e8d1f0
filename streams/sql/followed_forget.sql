DELETE FROM followed;
