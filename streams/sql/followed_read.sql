SELECT topic, part, next FROM followed;
