SELECT part, max(position), max(recorded_at) FROM {positions} GROUP BY part ORDER BY part
