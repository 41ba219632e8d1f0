SELECT topic, part, next FROM topics_read
