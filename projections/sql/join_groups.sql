-- [[joined, kept], ...]: who is of the first is from now on of the second.
UPDATE identifiers SET grp = json_extract(move.value, '$[1]') FROM json_each(?) AS move
WHERE grp = json_extract(move.value, '$[0]')
