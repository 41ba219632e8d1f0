-- `text` is the entry, JSON, byte for byte as it was hashed; the other columns are only read out of it.
CREATE TABLE IF NOT EXISTS audit (
    position INTEGER PRIMARY KEY,
    text     TEXT NOT NULL,
    hash     TEXT NOT NULL,
    who      TEXT AS (json_extract(text, '$.who')) VIRTUAL,
    act      TEXT AS (json_extract(text, '$.act')) VIRTUAL,
    customer TEXT AS (json_extract(text, '$.customer')) VIRTUAL
) STRICT;

CREATE INDEX IF NOT EXISTS audit_by_who ON audit (who, position);
CREATE INDEX IF NOT EXISTS audit_by_customer ON audit (customer, position);
