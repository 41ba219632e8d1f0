SELECT count() FROM {keys} WHERE digest != '' AND (part, key) IN (SELECT part, key FROM {keys} WHERE digest = '')
