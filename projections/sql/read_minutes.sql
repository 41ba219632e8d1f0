SELECT minute, channel, touchpoints FROM minutes WHERE minute >= ? ORDER BY minute, channel
