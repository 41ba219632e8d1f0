ALTER TABLE {keys} DELETE WHERE digest != '' AND (part, key) IN (SELECT part, key FROM {keys} WHERE digest = '')
