"""The names of signals that types give, and the patterns nobody else may use."""

from __future__ import annotations

from touchbook.schemas.touchpoints import TYPES

RESERVED = ("interest:", "via:", "spend:", "refund:")
"""Families of signals, by prefix: a category, a channel, a currency follows."""

DERIVED_SIGNALS = frozenset(name for model in TYPES.values() for name in model.gives)
"""What types give besides their own names; a pattern stands as its prefix, `interest:`."""


def is_reserved(name: str) -> bool:
    return name.startswith(RESERVED)
