DELETE FROM minutes WHERE minute < (SELECT max(minute) FROM minutes) - ?
