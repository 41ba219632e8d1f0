INSERT INTO minutes (minute, channel, touchpoints) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET touchpoints = touchpoints + excluded.touchpoints
