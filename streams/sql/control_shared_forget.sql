BEGIN IMMEDIATE;
DELETE FROM access_keys;
DELETE FROM set_aside;
DELETE FROM erasures;
DELETE FROM erased_members;
DELETE FROM said;
DELETE FROM followed;
COMMIT;
