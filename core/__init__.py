"""Touchbook: an event-sourced journal of customer interactions."""

__version__ = "0.1.0"
