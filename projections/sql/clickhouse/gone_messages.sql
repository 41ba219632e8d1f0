SELECT DISTINCT subject, thread, occurred_at, key FROM {thread_messages} WHERE subject IN %(subjects)s AND version < %(position)s
