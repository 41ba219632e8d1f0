DELETE FROM data_keys WHERE owner GLOB '~*';
