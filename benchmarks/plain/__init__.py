"""What things cost when written plainly: the baselines, and the predecessors of what was made faster."""
