"""The names of signals that types give, and the patterns nobody else may use."""

from __future__ import annotations

from touchbook.schemas.details import INTEREST, REFUND, SPEND, VIA
from touchbook.schemas.touchpoints import TYPES

RESERVED = (INTEREST, VIA, SPEND, REFUND)
"""Families of signals that only types of ours give, by prefix."""

DERIVED_SIGNALS = frozenset(name for model in TYPES.values() for name in model.gives)
"""What types give besides their own names; a pattern stands as its prefix, `interest:`."""


def is_reserved(name: str) -> bool:
    """Whether it belongs to a family of signals, so that nothing else may be named so."""
    return name.startswith(RESERVED)
