"""How fast Touchbook is on this machine, beside plain baselines of the same run: `python -m benchmarks`."""
