SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table IN %(tables)s AND NOT is_done
