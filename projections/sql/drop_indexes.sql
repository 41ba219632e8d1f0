DROP INDEX entries_by_position;
DROP INDEX cases;
DROP INDEX search_by_term;
DROP INDEX unanswered_by_time;
DROP INDEX identifiers_by_value
