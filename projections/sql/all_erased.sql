SELECT substr(name, 8) FROM positions WHERE name > 'erased:' AND name < 'erased;' ORDER BY name
