-- Those whose timelines show by now what was told of them before, and where: a JSON object, part -> position.
DELETE FROM pending WHERE position <= coalesce(json_extract(?, '$."' || (position & 1023) || '"'), 0) RETURNING subject, position
