"""A believable company and its customers, made up from a seed: what the demo publishes.

    history(customers, seed, now)   everything that happened until now, by channel service
    Live(cast, seed)                what goes on happening

Pure: the same seed and the same `now` tell the same story. Every person is invented; addresses end in example.test,
phone numbers come from ranges reserved for fiction.
"""

from __future__ import annotations

from pathlib import Path

from touchbook.cli.story.live import Live
from touchbook.cli.story.lives import Story, history
from touchbook.cli.story.pen import SOURCES, Told, cloudevent, segment_call

POLICY = Path(__file__).with_name("policy.yaml")
"""What the shop promises: no service of it publishes verdicts about time, Touchbook's clock makes them."""

__all__ = ["POLICY", "SOURCES", "Live", "Story", "Told", "cloudevent", "history", "segment_call"]
